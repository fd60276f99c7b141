//! The buildpack registry: what the client reads of buildpacks that are known by name.

use serde::Serialize;

use crate::time::Time;

/// A buildpack of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Buildpack {
    /// What comes before the slash.
    pub namespace: String,
    /// What comes after it.
    pub name: String,
    pub blob_url: String,
    pub description: String,
    /// Always `languages`.
    pub category: String,
    pub support: Support,
    pub source: Source,
}

/// Where to ask about a buildpack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Support {
    /// `website`: the client prints the address.
    pub method: String,
    pub address: String,
}

/// Where a buildpack comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// `builtin` or `imported`: no repository that is known.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A version of a buildpack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// Its number, from 1.
    pub release: u32,
    pub created_at: Time,
    /// `published`.
    pub status: String,
    pub license: String,
}

/// What a buildpack says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readme {
    /// The text in that encoding.
    pub content: String,
    /// `utf8`.
    pub encoding: String,
}
