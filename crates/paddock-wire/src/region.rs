//! Regions.

use serde::Serialize;

use crate::time::Time;

/// A region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Country.
    pub country: String,
    /// When it was made.
    pub created_at: Time,
    /// What to show.
    pub description: String,
    /// UUID.
    pub id: String,
    /// Place.
    pub locale: String,
    /// Name.
    pub name: String,
    /// Whether it can hold private spaces.
    pub private_capable: bool,
    /// Whose machines.
    pub provider: Provider,
    /// When it was changed.
    pub updated_at: Time,
}

/// Whose machines a region stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// Who.
    pub name: String,
    /// Where; the published schema allows only the names of one provider's regions.
    pub region: String,
}
