//! What manifests and configurations of images say, as far as it matters here. Both are a client's: what they are not is said in
//! a sentence.

use std::collections::{BTreeMap, BTreeSet};

use paddock_core::BlobDigest;
use paddock_core::image::ImageConfig;
use paddock_core::registry::MediaType;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The most bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// The most bytes of the configuration of an image that is to be run.
pub(super) const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// The most that one manifest names.
const NAMED_MAX: usize = 1000;
/// The most bytes of all words and variables of an image: they are given to its processes.
const WORDS_BYTES_MAX: usize = 128 << 10;

/// Kinds of configurations that are those of images.
const CONFIGS: [&str; 2] =
    ["application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"];

/// A manifest, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) media_type: MediaType,
    pub(super) names: Names,
    /// What it is about.
    pub(super) subject: Option<Descriptor>,
    pub(super) artifact_type: Option<String>,
    pub(super) annotations: Option<Map<String, Value>>,
}

/// What a manifest names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Names {
    /// Blobs: a configuration, and layers, the lowest first.
    Blobs { config: Descriptor, layers: Vec<Descriptor> },
    /// Manifests.
    Manifests(Vec<Descriptor>),
}

/// Something that a manifest names.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    #[serde(deserialize_with = "digest")]
    pub(super) digest: BlobDigest,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
}

/// What an image of an index is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
}

impl Platform {
    /// Whether its images run here.
    pub(super) fn is_ours(&self) -> bool {
        (self.os.as_str(), self.architecture.as_str()) == ("linux", "amd64")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: Option<Map<String, Value>>,
    fs_layers: Option<Value>,
}

fn digest<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BlobDigest, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is no digest of the kind sha256")))
}

impl Shape {
    /// Reads a manifest that the client says is of this kind; what it says of itself must be the same.
    pub(super) fn read(content_type: Option<&str>, text: &str) -> Result<Self, String> {
        let document: Result<Document, _> = serde_json::from_str(text);
        let document = document.map_err(|error| format!("The manifest cannot be read: {error}."))?;
        let Document { media_type: said, config, layers, manifests, .. } = document;
        if document.schema_version != Some(2) || document.fs_layers.is_some() {
            return Err("The manifest is not of schema version 2, which alone is taken.".to_owned());
        }
        let sent = content_type.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        if let (Some(sent), Some(said)) = (sent, said.as_deref())
            && sent != said
        {
            return Err(format!("The manifest was sent as {sent:?} and calls itself {said:?}."));
        }
        let kind = sent.or(said.as_deref()).unwrap_or_default();
        let media_type = MediaType::parse(kind).ok_or_else(|| {
            let taken: Vec<_> = MediaType::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("A manifest of the kind {kind:?} is not taken, but: {}.", taken.join(", "))
        })?;
        let names = match (media_type.is_index(), config, layers, manifests) {
            (true, None, None, Some(manifests)) => Names::Manifests(manifests),
            (false, Some(config), Some(layers), None) => Names::Blobs { config, layers },
            (true, ..) => return Err("An index names manifests, and neither config nor layers.".to_owned()),
            (false, ..) => return Err("A manifest names a config and layers, and no manifests.".to_owned()),
        };
        let named = names.all().count();
        if named > NAMED_MAX {
            return Err(format!("The manifest names {named} things: {NAMED_MAX} at most are taken."));
        }
        let Document { subject, artifact_type, annotations, .. } = document;
        Ok(Self { media_type, names, subject, artifact_type, annotations })
    }
}

impl Shape {
    /// What an index has instead of an image for this machine, after its name.
    pub(super) fn none_for_us(&self) -> String {
        let platforms = self.names.all().filter_map(|named| named.platform.as_ref());
        // Proofs of how an image was built are for no platform.
        let platforms = platforms.filter(|platform| platform.os != "unknown");
        let platforms: BTreeSet<_> =
            platforms.map(|platform| format!("{}/{}", platform.os, platform.architecture)).collect();
        let has = match platforms.is_empty() {
            true => "is an index without images".to_owned(),
            false => format!("has images for {}", platforms.into_iter().collect::<Vec<_>>().join(", ")),
        };
        format!(
            "{has}, and none for linux/amd64, which this server runs: build it with --platform linux/amd64."
        )
    }
}

impl Names {
    /// All that is named, each as often as it is.
    pub(super) fn all(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, others) = match self {
            Self::Blobs { config, layers } => (Some(config), layers),
            Self::Manifests(manifests) => (None, manifests),
        };
        config.into_iter().chain(others)
    }
}

/// Whether something is the configuration of an image, by its kind.
pub(super) fn is_config_of_image(descriptor: &Descriptor) -> bool {
    CONFIGS.contains(&descriptor.media_type.as_str())
}

/// The configuration of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageShape {
    pub(super) platform: Platform,
    /// The digests of its layers without their compression, the lowest first.
    pub(super) diff_ids: Vec<BlobDigest>,
    pub(super) config: ImageConfig,
}

#[derive(Debug, Deserialize)]
struct ImageDocument {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<ProcessDocument>,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ProcessDocument {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, Value>>,
}

impl ImageShape {
    /// Reads the configuration of an image.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let document: Result<ImageDocument, _> = serde_json::from_slice(bytes);
        let document = document.map_err(|error| format!("Its configuration cannot be read: {error}."))?;
        let diff_ids = document.rootfs.diff_ids.unwrap_or_default();
        let diff_ids = diff_ids.iter().map(|text| {
            text.parse().map_err(|_| {
                format!("Its configuration names {text:?}, which is no digest of the kind sha256.")
            })
        });
        let platform = Platform { architecture: document.architecture, os: document.os };
        let config = document.config.unwrap_or_default().read()?;
        Ok(Self { platform, diff_ids: diff_ids.collect::<Result<_, _>>()?, config })
    }
}

impl ProcessDocument {
    fn read(self) -> Result<ImageConfig, String> {
        let port = |port: &String| match port.split_once('/') {
            Some((number, "tcp")) => number.parse().ok(),
            Some(_) => None,
            None => port.parse().ok(),
        };
        let env = self.env.unwrap_or_default().into_iter();
        let env = env
            .filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        let config = ImageConfig {
            entrypoint: self.entrypoint.unwrap_or_default(),
            command: self.cmd.unwrap_or_default(),
            env: env.filter(|(name, _)| !name.is_empty()).collect(),
            working_dir: self.working_dir.unwrap_or_default(),
            user: self.user.unwrap_or_default(),
            exposed_ports: self.exposed_ports.unwrap_or_default().keys().filter_map(port).collect(),
        };
        let texts = || {
            let words = config.entrypoint.iter().chain(&config.command);
            let env = config.env.iter().flat_map(|(name, value)| [name, value]);
            words.chain(env).chain([&config.working_dir, &config.user])
        };
        if texts().any(|text| text.contains('\0')) {
            return Err(
                "Its configuration has a NUL character in a word or variable, which no program can be given."
                    .to_owned(),
            );
        }
        let bytes: usize = texts().map(String::len).sum();
        if bytes > WORDS_BYTES_MAX {
            let kilobytes = WORDS_BYTES_MAX >> 10;
            return Err(format!(
                "The words and variables of its configuration are more than {kilobytes} kB."
            ));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    fn named(letter: &str) -> Value {
        json!({ "mediaType": "x", "digest": format!("sha256:{}", letter.repeat(64)), "size": 3 })
    }

    fn read(kind: Option<&str>, manifest: &Value) -> Result<Shape, String> {
        Shape::read(kind, &manifest.to_string())
    }

    #[test]
    fn a_manifest_names_blobs_and_an_index_manifests() {
        let image = json!({ "schemaVersion": 2, "config": named("a"), "layers": [named("b"), named("b")] });
        let shape = read(Some(OCI), &image).unwrap();
        assert_eq!((shape.media_type, shape.names.all().count()), (MediaType::OciManifest, 3));
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": named("c") });
        let shape = read(None, &index).unwrap();
        assert_eq!((shape.media_type, shape.names), (MediaType::OciIndex, Names::Manifests(Vec::new())));
        assert_eq!(shape.subject.unwrap().size, 3);
    }

    #[test]
    fn an_index_without_an_image_for_this_machine_says_what_it_has() {
        let index = |platforms: &[(&str, &str)]| {
            let of = |(os, architecture): &(&str, &str)| {
                let mut one = named("a");
                one["platform"] = json!({ "os": os, "architecture": architecture });
                one
            };
            let manifests: Vec<_> = platforms.iter().map(of).collect();
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
            read(None, &index).unwrap().none_for_us()
        };
        let several = [("windows", "amd64"), ("linux", "arm64"), ("unknown", "unknown"), ("linux", "arm64")];
        assert!(
            index(&several)
                .starts_with("has images for linux/arm64, windows/amd64, and none for linux/amd64")
        );
        assert!(index(&[("unknown", "unknown")]).starts_with("is an index without images, and none for"));
    }

    #[test]
    fn what_is_no_manifest_is_said_in_a_sentence() {
        let image = json!({ "schemaVersion": 2, "config": named("a"), "layers": [] });
        let with = |name: &str, value: Value| {
            let mut manifest = image.clone();
            manifest[name] = value;
            manifest
        };
        let many: Vec<_> = std::iter::repeat_with(|| named("b")).take(5000).collect();
        let cases = [
            (Some("text/plain"), image.clone(), "is not taken"),
            (None, image.clone(), "is not taken"),
            (Some(INDEX), image.clone(), "An index names manifests"),
            (Some(OCI), with("mediaType", json!(INDEX)), "calls itself"),
            (Some(OCI), with("manifests", json!([])), "and no manifests"),
            (Some(OCI), with("schemaVersion", json!(1)), "schema version 2"),
            (Some(OCI), with("layers", json!([{ "digest": "sha512:0", "size": 1 }])), "no digest"),
            (
                Some(OCI),
                with("layers", json!([{ "digest": named("a")["digest"], "size": -1 }])),
                "cannot be read",
            ),
            (Some(OCI), with("layers", json!(many)), "names 5001 things"),
            (Some(OCI), json!([]), "cannot be read"),
        ];
        for (kind, manifest, words) in cases {
            let said = read(kind, &manifest).unwrap_err();
            assert!(said.contains(words) && said.ends_with('.'), "{words}: {said}");
        }
        assert!(Shape::read(Some(OCI), "{").unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn of_a_configuration_is_kept_what_processes_need() {
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": {
                "Entrypoint": ["tini"], "Cmd": ["serve"], "Env": ["A=1=2", "B=", "no pair", "=x"], "WorkingDir": "/srv",
                "User": "app", "ExposedPorts": { "80/tcp": {}, "53/udp": {}, "99999/tcp": {}, "8080": {} }, "Labels": null,
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", "a".repeat(64))] },
            "history": [{}],
        });
        let image = ImageShape::read(config.to_string().as_bytes()).unwrap();
        assert!(image.platform.is_ours());
        assert_eq!(image.diff_ids.len(), 1);
        let env: Vec<_> = image.config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=1=2", "B="]);
        assert_eq!((image.config.exposed_ports, image.config.user.as_str()), (vec![80, 8080], "app"));
        let bare = ImageShape::read(b"{\"rootfs\":{\"diff_ids\":null}}").unwrap();
        assert_eq!(bare.config, ImageConfig::default());
        assert!(!bare.platform.is_ours());
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        let with = |config: Value| {
            let document = json!({ "rootfs": {}, "config": config }).to_string();
            ImageShape::read(document.as_bytes()).unwrap_err()
        };
        assert!(with(json!({ "Cmd": ["a\0b"] })).contains("NUL"));
        assert!(with(json!({ "Env": [format!("A={}", "x".repeat(200_000))] })).contains("128 kB"));
        assert!(with(json!({ "Cmd": "a line" })).contains("cannot be read"));
    }
}
