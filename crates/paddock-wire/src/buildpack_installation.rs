//! The buildpacks of an app, in order.

use serde::{Deserialize, Serialize};

/// One buildpack at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildpackInstallation {
    /// Its place, from 0.
    pub ordinal: i64,
    pub buildpack: Buildpack,
}

/// A buildpack. Both fields are text, because the client cuts prefixes off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Buildpack {
    pub url: String,
    /// The name to show: that of the registry if it has one, else the address.
    pub name: String,
}

/// Body of `PUT /apps/{app}/buildpack-installations`: the whole list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Replace {
    pub updates: Vec<ReplaceItem>,
}

/// One buildpack of the new list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReplaceItem {
    /// Name, address or URN. The client leaves it out when the registry does not know the name that was typed.
    pub buildpack: Option<String>,
}
