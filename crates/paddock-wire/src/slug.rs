//! Slugs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::named::{Identity, NamedRef};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slug {
    pub blob: Blob,
    /// What the buildpack called the app.
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:` and the digest.
    pub checksum: Option<String>,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// Always null.
    pub commit_description: Option<String>,
    pub created_at: Time,
    pub id: String,
    /// Command by process type.
    pub process_types: BTreeMap<String, String>,
    pub size: Option<u64>,
    pub stack: NamedRef,
    pub updated_at: Time,
    pub deleted_at: Option<Time>,
}

/// Where the archive of a slug is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blob {
    /// `get` or `put`.
    pub method: String,
    pub url: String,
}

/// Body of `POST /apps/{app}/slugs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    /// Command by process type.
    pub process_types: BTreeMap<String, String>,
    /// `SHA256:` and the digest of the archive.
    pub checksum: Option<String>,
    /// The commit it was made from.
    pub commit: Option<String>,
    /// What is to be said of the commit.
    pub commit_description: Option<String>,
    /// What made it calls itself.
    pub buildpack_provided_description: Option<String>,
    /// The stack it was made for.
    pub stack: Option<Identity>,
}
