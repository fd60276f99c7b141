//! Features of apps and of accounts: switches. Both have the same shape.

use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::time::Time;

/// A feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// When it was made.
    pub created_at: Time,
    /// What it does.
    pub description: String,
    /// Where to read more.
    pub doc_url: String,
    /// Whether it is on.
    pub enabled: bool,
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// `general` is listed by `features`, everything else by `labs`.
    pub state: String,
    /// When it was changed.
    pub updated_at: Time,
    /// A readable name.
    pub display_name: String,
    /// An address for feedback.
    pub feedback_email: String,
}

/// Body of `PATCH …/features/{feature}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Update {
    /// On or off.
    #[serde(deserialize_with = "lenient::boolean")]
    pub enabled: bool,
}
