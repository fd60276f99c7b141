//! Generations of the platform: which kind of apps it runs.

use serde::Serialize;

use crate::time::Time;

/// A generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// Since when there is it.
    pub created_at: Time,
    /// UUID.
    pub id: String,
    /// `cedar` or `fir`.
    pub name: String,
    /// When it was changed.
    pub updated_at: Time,
    /// What it does not do.
    pub unsupported_features: Vec<String>,
    /// The same with more words.
    pub expanded_supported_features: Vec<UnsupportedFeature>,
}

/// Something that a generation does not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnsupportedFeature {
    /// Its name.
    pub name: String,
    /// `temporary`: not built yet.
    pub incompatible_type: String,
    /// What it would belong to: `app`, `space`.
    pub scope: String,
}
