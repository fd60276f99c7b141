//! Slugs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::named::{Identity, NamedRef};
use crate::time::Time;

/// A slug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slug {
    /// Where its archive is.
    pub blob: Blob,
    /// What the buildpack called the app.
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:` and the digest.
    pub checksum: Option<String>,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// Always null.
    pub commit_description: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// UUID.
    pub id: String,
    /// Command by process type.
    pub process_types: BTreeMap<String, String>,
    /// Bytes.
    pub size: Option<u64>,
    /// The stack it runs on.
    pub stack: NamedRef,
    /// When it was changed.
    pub updated_at: Time,
    /// When it was destroyed.
    pub deleted_at: Option<Time>,
}

/// Where the archive of a slug is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blob {
    /// `get` or `put`.
    pub method: String,
    /// Address.
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
