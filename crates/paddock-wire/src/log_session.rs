//! Log sessions: an address to read an app's log from.

use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogSession {
    pub created_at: Time,
    pub id: String,
    /// Where the lines are. The address is a secret that expires.
    pub logplex_url: String,
    pub updated_at: Time,
}

/// Body of `POST /apps/{app}/log-sessions`. May be absent altogether.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Create {
    /// A dyno (`web.1`) or a process type (`web`).
    pub dyno: Option<String>,
    #[serde(rename = "type")]
    pub process_type: Option<String>,
    /// How many of the latest lines; 100 when absent.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub lines: Option<i64>,
    /// `app` or `heroku`, or one of the platform's processes such as `router`.
    pub source: Option<String>,
    /// Whether to go on with new lines.
    #[serde(default, deserialize_with = "lenient::optional_boolean")]
    pub tail: Option<bool>,
}
