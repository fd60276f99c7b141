//! The body of every answer that is not a success.

use serde::Serialize;

/// `{id, message, url?, resource?}`. The official client prints `message` and, if present, `url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// One of the ids of `docs/contract/platform-behaviour.md`, section 27.
    pub id: String,
    /// A sentence the user can act on.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The noun that was not found; the client's logout and add-on commands look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}
