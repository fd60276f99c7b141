//! Sources: places to put an archive for a build.

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Where to put and get.
    pub source_blob: SourceBlob,
}

/// The two addresses of a source. Both are secrets that expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceBlob {
    /// For the `url` of a build's source blob.
    pub get_url: String,
    /// For one PUT of a gzipped tar archive.
    pub put_url: String,
}
