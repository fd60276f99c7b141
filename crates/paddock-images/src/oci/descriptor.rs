//! What manifests name: blobs and other manifests.

use std::collections::BTreeMap;

use paddock_core::BlobDigest;
use serde::{Deserialize, Deserializer};

/// Something that a manifest names by its content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    /// Its digest.
    #[serde(deserialize_with = "digest")]
    pub digest: BlobDigest,
    /// Its bytes.
    pub size: u64,
    /// What it runs on, where an index names it.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// What is said of it besides.
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Platform {
    /// The machine, as Go names it.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// The system, as Go names it.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// A later kind of the same machine.
    #[serde(default, deserialize_with = "or_default")]
    pub variant: String,
}

impl Platform {
    /// Whether it is ours. Images of before had no platform; theirs was this.
    pub(super) fn is_ours(&self) -> bool {
        let is = |value: &str, names: &[&str]| names.iter().any(|name| value.eq_ignore_ascii_case(name));
        is(&self.os, &["linux", ""]) && is(&self.architecture, &["amd64", "x86_64", "x86-64", ""])
    }

    /// As people write it.
    pub(super) fn shown(&self) -> String {
        let unknown = |value: &str| if value.is_empty() { "unknown".to_owned() } else { shown(value) };
        format!("{}/{}", unknown(&self.os), unknown(&self.architecture))
    }
}

/// The beginning of what somebody wrote.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Go writes `null` for what is empty.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BlobDigest, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("not a sha256 digest: {:?}", shown(&text))))
}
