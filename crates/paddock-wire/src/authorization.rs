//! OAuth authorizations: access tokens and what they are for.

use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::named::IdOnly;
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Authorization {
    pub access_token: Option<AccessToken>,
    /// Always null until OAuth clients are built.
    pub client: Option<()>,
    pub created_at: Time,
    /// What it is for, in the user's words; never null, because the client sorts by it.
    pub description: String,
    /// Always null.
    pub grant: Option<()>,
    pub id: String,
    /// Always null.
    pub refresh_token: Option<()>,
    pub scope: Vec<String>,
    /// Always null: there are no browser sessions yet.
    pub session: Option<IdOnly>,
    pub updated_at: Time,
    pub user: User,
}

/// The access token of an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessToken {
    /// Seconds until it expires; null for never.
    pub expires_in: Option<i64>,
    pub id: String,
    /// The token; in full only in the answer that made it, later `PREFIX**********SUFFIX`.
    pub token: String,
    /// Always 1: there is one kind of tokens.
    pub version: u32,
}

/// The account of an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    pub id: String,
    pub email: String,
    pub full_name: Option<String>,
}

/// Body of `POST /oauth/authorizations`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Create {
    pub description: Option<String>,
    /// Seconds until it expires; absent or null for never. The client sends text.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub expires_in: Option<i64>,
    /// What it allows; `["global"]` when absent.
    pub scope: Option<Vec<String>>,
}

/// Body of `PATCH /oauth/authorizations/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Update {
    pub description: Option<String>,
}
