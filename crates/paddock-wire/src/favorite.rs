//! Favorites, as the dashboard's API has them. Source: `docs/contract/heroku-cli.md`, section 3; the published schema does
//! not name them.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// An app that an account wants at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Favorite {
    pub created_at: Time,
    pub id: String,
    pub resource_id: String,
    pub resource_name: String,
    /// `app`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Query of `GET /favorites`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Asked {
    /// `app`, the only kind that is built.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// Body of `POST /favorites`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    /// Id or name of the app.
    pub resource_id: String,
    /// `app`, the only kind that is built.
    #[serde(rename = "type")]
    pub kind: String,
}
