//! Features of apps and of accounts: switches. Both have the same shape.

use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    pub created_at: Time,
    pub description: String,
    pub doc_url: String,
    pub enabled: bool,
    pub id: String,
    pub name: String,
    /// `general` is listed by `features`, everything else by `labs`.
    pub state: String,
    pub updated_at: Time,
    pub display_name: String,
    pub feedback_email: String,
}

/// Body of `PATCH …/features/{feature}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Update {
    #[serde(deserialize_with = "lenient::boolean")]
    pub enabled: bool,
}
