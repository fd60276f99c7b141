//! Releases.

use serde::{Deserialize, Serialize};

use crate::named::{IdOnly, Identity, NamedRef, UserRef};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Always empty until add-ons are built.
    pub addon_plan_names: Vec<String>,
    /// The slug, once more.
    pub artifacts: Vec<Artifact>,
    pub app: NamedRef,
    pub created_at: Time,
    pub description: String,
    pub id: String,
    pub updated_at: Time,
    /// Always null on this generation.
    pub oci_image: Option<IdOnly>,
    /// Its slug; null before the first build.
    pub slug: Option<IdOnly>,
    /// `expired`, `failed`, `pending` or `succeeded`.
    pub status: String,
    pub user: UserRef,
    /// Its number, from 1.
    pub version: i64,
    /// Whether it is the one that runs.
    pub current: bool,
    /// Where its release phase prints; null if it has none.
    pub output_stream_url: Option<String>,
    /// Whether it can be rolled back to. True for the current one too: the client counts on it.
    pub eligible_for_rollback: bool,
}

/// What a release runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// Always `slug`.
    #[serde(rename = "type")]
    pub artifact_type: String,
    pub id: String,
}

/// Body of `POST /apps/{app}/releases`: `release` rolls back to it, `slug` releases it again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Create {
    /// The release to roll back to: id, or version as `v12` or `12`.
    pub release: Option<Identity>,
    pub slug: Option<Identity>,
    /// Not built: other generation.
    pub oci_image: Option<Identity>,
    /// The description of the new release.
    pub description: Option<String>,
}
