//! Configurations: how the processes of an image begin.

use std::collections::{BTreeMap, BTreeSet};

use paddock_core::BlobDigest;
use paddock_core::image::ImageConfig;
use serde::{Deserialize, Deserializer, Serialize};

use super::descriptor::{Platform, or_default, shown};
use super::{CONFIG_BYTES_MAX, ImageError};

/// What of a configuration is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// What its processes get.
    pub image: ImageConfig,
    /// SHA-256 of each layer's tar, the lowest layer first.
    pub diff_ids: Vec<BlobDigest>,
    /// What it runs on.
    pub platform: Platform,
}

#[derive(Deserialize)]
struct File {
    #[serde(default, deserialize_with = "or_default")]
    architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    os: String,
    #[serde(default, deserialize_with = "or_default")]
    variant: String,
    #[serde(default, deserialize_with = "or_default")]
    config: Section,
    #[serde(default, deserialize_with = "or_default")]
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Section {
    #[serde(deserialize_with = "words")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "words")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    working_dir: String,
    #[serde(deserialize_with = "or_default")]
    user: String,
    #[serde(deserialize_with = "or_default")]
    exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "words")]
    shell: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    on_build: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RootFs {
    #[serde(deserialize_with = "or_default")]
    diff_ids: Vec<String>,
}

/// Words are a list; old engines wrote a single one as it is.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "Entrypoint, Cmd and Shell are lists of words")]
    enum Words {
        Many(Vec<String>),
        One(String),
    }
    Ok(match Option::deserialize(deserializer)? {
        Some(Words::Many(words)) => words,
        Some(Words::One(word)) => vec![word],
        None => Vec::new(),
    })
}

impl ConfigFile {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ImageError::TooLarge`], [`ImageError::Malformed`].
    pub fn read(json: &[u8]) -> Result<Self, ImageError> {
        if json.len() > CONFIG_BYTES_MAX {
            return Err(ImageError::TooLarge { what: "configuration", bytes_max: CONFIG_BYTES_MAX });
        }
        let malformed =
            |reason: String| ImageError::Malformed { what: "configuration", reason: shown(&reason) };
        let file: File = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        let digests = file.rootfs.diff_ids.iter();
        let diff_ids = digests.map(|digest| digest.parse()).collect::<Result<_, _>>();
        let Section { entrypoint, cmd, env, working_dir, user, exposed_ports, shell, on_build } = file.config;
        let texts = [&working_dir, &user].into_iter().chain(&entrypoint).chain(&cmd).chain(&env);
        // No process can be given it.
        if let Some(text) = texts.chain(&shell).chain(&on_build).find(|text| text.contains('\0')) {
            return Err(malformed(format!("{:?} has a NUL in it", shown(text))));
        }
        let env =
            env.iter().filter_map(|variable| variable.split_once('=')).filter(|(name, _)| !name.is_empty());
        let image = ImageConfig {
            entrypoint,
            command: cmd,
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            working_dir: absolute(working_dir),
            user,
            exposed_ports: tcp_ports(exposed_ports.keys()),
            shell,
            on_build,
        };
        let diff_ids =
            diff_ids.map_err(|error: paddock_core::digest::InvalidDigest| malformed(error.to_string()))?;
        let File { architecture, os, variant, .. } = file;
        let platform = Platform { architecture, os, variant };
        Ok(Self { image, diff_ids, platform })
    }

    /// Whether this machine runs it.
    ///
    /// # Errors
    /// [`ImageError::Platforms`].
    pub fn check_platform(&self) -> Result<(), ImageError> {
        if self.platform.is_ours() { Ok(()) } else { Err(ImageError::Platforms(self.platform.shown())) }
    }
}

/// Engines begin at the root where nothing else is said, and count from there.
fn absolute(folder: String) -> String {
    if folder.is_empty() || folder.starts_with('/') { folder } else { format!("/{folder}") }
}

/// `80/tcp`, `80`; whatever else is said of ports is nothing to us.
fn tcp_ports<'a>(ports: impl Iterator<Item = &'a String>) -> Vec<u16> {
    let ports = ports.filter_map(|port| match port.split_once('/') {
        None => port.parse().ok(),
        Some((port, protocol)) if protocol.eq_ignore_ascii_case("tcp") => port.parse().ok(),
        Some(_) => None,
    });
    let ports: BTreeSet<u16> = ports.filter(|port| *port > 0).collect();
    ports.into_iter().collect()
}

/// The configuration of an image that is made here, for linux/amd64: equal ones are equal bytes, so no date and no history.
#[must_use]
pub fn config_json(image: &ImageConfig, diff_ids: &[BlobDigest]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        architecture: &'a str,
        config: Section<'a>,
        os: &'a str,
        rootfs: RootFs,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Section<'a> {
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        cmd: &'a [String],
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        entrypoint: &'a [String],
        #[serde(skip_serializing_if = "Vec::is_empty")]
        env: Vec<String>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        exposed_ports: BTreeMap<String, Empty>,
        #[serde(skip_serializing_if = "str::is_empty")]
        user: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        working_dir: &'a str,
    }
    #[derive(Serialize)]
    struct Empty {}
    #[derive(Serialize)]
    struct RootFs {
        diff_ids: Vec<String>,
        r#type: &'static str,
    }
    let config = Section {
        cmd: &image.command,
        entrypoint: &image.entrypoint,
        env: image.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        exposed_ports: image.exposed_ports.iter().map(|port| (format!("{port}/tcp"), Empty {})).collect(),
        user: &image.user,
        working_dir: &image.working_dir,
    };
    let rootfs = RootFs { diff_ids: diff_ids.iter().map(ToString::to_string).collect(), r#type: "layers" };
    let written = Written { architecture: "amd64", config, os: "linux", rootfs };
    serde_json::to_vec(&written).expect("texts and lists are JSON")
}
