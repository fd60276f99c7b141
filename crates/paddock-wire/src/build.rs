//! Builds.

use serde::{Deserialize, Serialize};

use crate::named::{Empty, IdOnly, UserRef};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    pub app: IdOnly,
    /// The buildpacks that ran, in order; null when they were detected.
    pub buildpacks: Option<Vec<RunBuildpack>>,
    pub created_at: Time,
    pub id: String,
    /// Always empty on this generation.
    pub labs: Empty,
    /// Where it prints: plain text until the end. The address is a secret.
    pub output_stream_url: String,
    pub release: Option<IdOnly>,
    pub slug: Option<IdOnly>,
    /// What it was built from.
    pub source_blob: SourceBlob,
    pub stack: String,
    /// `failed`, `pending` or `succeeded`.
    pub status: String,
    pub updated_at: Time,
    pub user: UserRef,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunBuildpack {
    /// Address, URN or name, as it was given.
    pub url: String,
    /// The name to show: that of the registry if it has one, else the address.
    pub name: String,
}

/// A wanted buildpack by address, name, or both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Buildpack {
    pub url: Option<String>,
    /// Name in the registry.
    pub name: Option<String>,
}

/// The source of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBlob {
    /// `SHA256:` and the digest of the archive in hexadecimal.
    pub checksum: Option<String>,
    /// Where the gzipped tar archive is.
    pub url: String,
    /// What the user calls this version.
    pub version: Option<String>,
    /// A longer text on it.
    pub version_description: Option<String>,
}

/// Body of `POST /apps/{app}/builds`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    pub source_blob: SourceBlob,
    /// The buildpacks of this build alone.
    pub buildpacks: Option<Vec<Buildpack>>,
}
