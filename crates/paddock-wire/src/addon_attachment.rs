//! Attachments: an app's names for an add-on, each with its config vars.

use serde::{Deserialize, Serialize};

use crate::addon::PlanRef;
use crate::named::{Identity, NamedRef};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddonAttachment {
    pub addon: AddonOf,
    /// The app that has it attached.
    pub app: NamedRef,
    pub created_at: Time,
    pub id: String,
    pub name: String,
    /// `credential:NAME` for a credential that is not the default one.
    pub namespace: Option<String>,
    pub updated_at: Time,
    pub web_url: Option<String>,
    /// Always null until services send lines of their own.
    pub log_input_url: Option<String>,
    /// Only for who asks by `Accept-Inclusion: config_vars`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_vars: Option<Vec<String>>,
}

/// The add-on that is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddonOf {
    pub id: String,
    pub name: String,
    /// The app that it is billed to.
    pub app: NamedRef,
    /// Only for who asks by `Accept-Inclusion: addon:plan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRef>,
}

/// Body of `POST /addon-attachments`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    pub addon: Identity,
    pub app: Identity,
    /// The name of the app, where an attachment of that name is to be replaced.
    pub confirm: Option<String>,
    pub name: Option<String>,
    pub namespace: Option<String>,
}

/// Body of `POST /actions/addon-attachments/resolve`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Resolve {
    pub addon_attachment: String,
    pub app: Option<String>,
    pub addon_service: Option<String>,
}
