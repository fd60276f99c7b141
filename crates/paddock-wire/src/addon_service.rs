//! Services that add-ons are made of.

use serde::Serialize;

use crate::named::NamedRef;
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddonService {
    /// Always null: the official client brings its own commands.
    pub cli_plugin_name: Option<String>,
    pub created_at: Time,
    pub human_name: String,
    pub id: String,
    pub name: String,
    /// `ga`.
    pub state: String,
    pub supports_multiple_installations: bool,
    /// Whether other apps can have one attached.
    pub supports_sharing: bool,
    pub updated_at: Time,
    pub supported_generations: Vec<NamedRef>,
}
