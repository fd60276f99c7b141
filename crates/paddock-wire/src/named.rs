//! Short references to other things inside a body.

use serde::{Deserialize, Serialize};

/// `{id, name}`: an app, a stack, a region, a dyno size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedRef {
    pub id: String,
    pub name: String,
}

/// `{id}` alone: a slug, a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdOnly {
    pub id: String,
}

/// `{}`: done, or begun, and nothing more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Empty {}

/// `{email, id}`: the account that did or owns something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserRef {
    pub email: String,
    pub id: String,
}

/// How a request names something: as text, or as an object with `id` or `name` (older clients).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Identity {
    /// The id or the name.
    Text(String),
    /// `{"id": ..}`.
    Id { id: String },
    /// `{"name": ..}`.
    Name { name: String },
    /// `{"email": ..}`.
    Email { email: String },
}

impl Identity {
    /// The id or name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text)
            | Self::Id { id: text }
            | Self::Name { name: text }
            | Self::Email { email: text } => text,
        }
    }
}
