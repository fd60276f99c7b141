//! Apps.

use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::named::{Identity, NamedRef, UserRef};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct App {
    /// Whether certificates are managed for it.
    pub acm: bool,
    /// Always null.
    pub archived_at: Option<Time>,
    /// Always null: only cloud native builds have a base image.
    pub base_image_name: Option<String>,
    /// The stack of the next build.
    pub build_stack: NamedRef,
    /// What the buildpack called it at the last build.
    pub buildpack_provided_description: Option<String>,
    /// Always null on this generation.
    pub buildpacks: Option<()>,
    pub created_at: Time,
    /// Always empty on this generation.
    pub current_build_architecture: Vec<String>,
    /// Always `cedar`. The published schema says text; clients made from the API itself read an object.
    pub generation: NamedRef,
    pub git_url: String,
    pub id: String,
    /// Always false.
    pub internal_routing: bool,
    pub maintenance: bool,
    /// Name, unique on this server.
    pub name: String,
    pub owner: UserRef,
    /// Always null until teams are built.
    pub organization: Option<()>,
    /// Always null until teams are built.
    pub team: Option<()>,
    pub region: NamedRef,
    /// When its current release was made.
    pub released_at: Option<Time>,
    pub repo_size: Option<u64>,
    pub slug_size: Option<u64>,
    /// Always null until spaces are built.
    pub space: Option<()>,
    pub stack: NamedRef,
    pub updated_at: Time,
    /// Where it answers: absolute, with scheme and port, ending in a slash.
    pub web_url: Option<String>,
}

/// Body of `POST /apps`. May be absent altogether.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Create {
    /// The wanted name; one is made up when absent.
    pub name: Option<String>,
    pub region: Option<Identity>,
    pub stack: Option<Identity>,
    /// App features to switch on.
    pub feature_flags: Option<Vec<String>>,
}

/// Body of `PATCH /apps/{app}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Update {
    /// The stack of the next build.
    pub build_stack: Option<Identity>,
    #[serde(default, deserialize_with = "lenient::optional_boolean")]
    pub maintenance: Option<bool>,
    pub name: Option<String>,
}

/// Body of `POST /filters/apps`. Without a list of ids nothing is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Filter {
    /// What the apps must be among.
    #[serde(rename = "in")]
    pub among: Option<Among>,
}

/// The ids that apps must be among.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Among {
    pub id: Option<Vec<String>>,
}
