//! What the converter's program says of what it has made.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use paddock_core::BlobDigest;
use rustix::fs::OFlags;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ConvertedLayer, ConvertedTree, Warnings};

/// Far more than any report has.
const BYTES_MAX: u64 = 64 * 1024;

/// The report of a conversion, as JSON in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversionReport {
    /// Bytes of the mountable file.
    pub layer_bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// What was left out.
    pub warnings: Warnings,
    /// What was learned of the tar, where that was converted.
    pub tar: Option<TarReport>,
}

/// What was learned of a tar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TarReport {
    /// SHA-256 of the tar.
    #[serde(serialize_with = "as_text", deserialize_with = "of_text")]
    pub diff_id: BlobDigest,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of what was read, compressed as it was.
    #[serde(serialize_with = "as_text", deserialize_with = "of_text")]
    pub blob: BlobDigest,
    /// Bytes of what was read.
    pub blob_bytes: u64,
}

impl ConversionReport {
    /// Reads a report that a container has written.
    ///
    /// # Errors
    /// When there is no such plain file, or it is no report.
    pub fn read(path: &Path) -> io::Result<Self> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("the report is no plain file"));
        }
        let mut text = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

impl From<ConvertedLayer> for ConversionReport {
    fn from(layer: ConvertedLayer) -> Self {
        let ConvertedLayer { layer_bytes, diff_id, tar_bytes, blob, blob_bytes, entries, warnings } = layer;
        let tar = Some(TarReport { diff_id, bytes: tar_bytes, blob, blob_bytes });
        Self { layer_bytes, entries, warnings, tar }
    }
}

impl From<ConvertedTree> for ConversionReport {
    fn from(tree: ConvertedTree) -> Self {
        let ConvertedTree { layer_bytes, entries, warnings } = tree;
        Self { layer_bytes, entries, warnings, tar: None }
    }
}

fn as_text<S: Serializer>(digest: &BlobDigest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

fn of_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}
