//! Dyno sizes.

use serde::Serialize;

use crate::named::NamedRef;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DynoSize {
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// Share of CPU, in units of the smallest.
    pub compute: i64,
    /// Whether it can be scaled by load.
    pub can_autoscale: bool,
    /// Always null: nothing is billed.
    pub cost: Option<()>,
    /// Whether its CPU is not shared.
    pub dedicated: bool,
    pub precise_dyno_units: f64,
    pub id: String,
    pub memory: f64,
    pub name: String,
    /// Whether it exists in private spaces alone.
    pub private_space_only: bool,
    /// The generation it belongs to.
    pub generation: NamedRef,
    /// Always `production`.
    pub infrastructure_tier: String,
    /// `basic`, `standard`, `performance`.
    pub product_dyno_tier: String,
}
