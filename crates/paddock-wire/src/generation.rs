//! Generations of the platform: which kind of apps it runs.

use serde::Serialize;

use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generation {
    pub created_at: Time,
    pub id: String,
    /// `cedar` or `fir`.
    pub name: String,
    pub updated_at: Time,
    /// What it does not do.
    pub unsupported_features: Vec<String>,
    /// The same, with longer texts.
    pub expanded_supported_features: Vec<UnsupportedFeature>,
}

/// Something that a generation does not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnsupportedFeature {
    pub name: String,
    /// `temporary`: not built yet.
    pub incompatible_type: String,
    /// What it would belong to: `app`, `space`.
    pub scope: String,
}
