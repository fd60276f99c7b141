//! Dynos.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lenient::{self, EnvValue};
use crate::named::NamedRef;
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dyno {
    /// Where an attached one-off dyno waits for its client; null otherwise.
    pub attach_url: Option<String>,
    pub command: String,
    pub created_at: Time,
    pub id: String,
    /// `web.1`, `run.1234`.
    pub name: String,
    pub release: ReleaseRef,
    pub app: NamedRef,
    pub size: String,
    /// `crashed`, `down`, `idle`, `starting` or `up`.
    pub state: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub updated_at: Time,
}

/// The release of a dyno.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseRef {
    pub id: String,
    pub version: i64,
}

/// Body of `POST /apps/{app}/dynos`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    pub command: String,
    /// Whether a client will attach.
    #[serde(default, deserialize_with = "lenient::optional_boolean")]
    pub attach: Option<bool>,
    /// More environment; the client sends numbers for COLUMNS and LINES.
    pub env: Option<BTreeMap<String, EnvValue>>,
    /// A pipe instead of a terminal.
    #[serde(default, deserialize_with = "lenient::optional_boolean")]
    pub force_no_tty: Option<bool>,
    pub size: Option<String>,
    /// The process type in its name; `run` when absent.
    #[serde(rename = "type")]
    pub process_type: Option<String>,
    /// The longest life in seconds.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub time_to_live: Option<i64>,
}
