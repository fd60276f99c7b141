//! Regions.

use serde::Serialize;

use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Region {
    pub country: String,
    pub created_at: Time,
    pub description: String,
    pub id: String,
    pub locale: String,
    pub name: String,
    /// Whether it can hold private spaces.
    pub private_capable: bool,
    /// Who provides the machines.
    pub provider: Provider,
    pub updated_at: Time,
}

/// The provider of a region's machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provider {
    pub name: String,
    /// Where; the published schema allows only the names of one provider's regions.
    pub region: String,
}
