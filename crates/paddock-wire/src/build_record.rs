//! What builds used, did and made, and what differs between two: calls of this server's own.

use serde::Serialize;

use crate::named::{IdOnly, NamedRef};
use crate::time::Time;

/// Answer of `GET /apps/{app}/builds/{build}/record`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildRecord {
    pub app: IdOnly,
    pub build: IdOnly,
    /// `failed`, `pending` or `succeeded`.
    pub status: String,
    /// Why it failed.
    pub failure: Option<String>,
    pub created_at: Time,
    pub finished_at: Option<Time>,
    pub facts: Vec<Fact>,
    pub steps: Vec<Step>,
    pub reuse: Vec<Reuse>,
    /// How many things more were noted than a record holds.
    pub left_out: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// `source`, `server`, `stack`, `argument`, `buildpack`, `tool`, `lock_file`, `config`, `base`, `report` or `made`.
    pub kind: String,
    pub name: String,
    /// A version, digest or text; of a config var a keyed digest.
    pub value: String,
    /// `server`, or `build` for what the build's own container said.
    pub told_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub name: String,
    pub milliseconds: u64,
    /// The same part's in the build that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds_before: Option<u64>,
    pub told_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reuse {
    pub what: String,
    pub reused: bool,
    pub why: String,
    pub told_by: String,
}

/// Answer of `GET /apps/{app}/builds/{build}/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildExplanation {
    pub build: IdOnly,
    /// The build that it is compared with.
    pub compared_with: Option<IdOnly>,
    pub steps: Vec<Step>,
    pub reuse: Vec<Reuse>,
    /// Null where no other build was asked for.
    pub differences: Option<Vec<Difference>>,
    pub left_out: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub kind: String,
    pub name: String,
    /// Null where the other build did not have it.
    pub before: Option<String>,
    /// Null where this build does not have it.
    pub after: Option<String>,
    /// Whether it went into the build, and did not come out of it.
    pub is_cause: bool,
}

/// Answer of `GET /apps/{app}/build-metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildMetadata {
    pub app: NamedRef,
    /// `DELETE`, with the caller's token, empties the build cache.
    pub cache_delete_url: String,
    /// Null: a cache stays on the server.
    pub cache_get_url: Option<String>,
    /// Null: builds of this server alone write it.
    pub cache_put_url: Option<String>,
    /// Null: a repository goes with its app.
    pub repo_delete_url: Option<String>,
    /// The app's repository: git fetches from it.
    pub repo_get_url: String,
    /// Null: git pushes, and nobody else writes a repository.
    pub repo_put_url: Option<String>,
}
