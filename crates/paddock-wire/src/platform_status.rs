//! How the platform itself is: what `heroku status` shows.

use serde::Serialize;

use crate::time::Time;

/// Body of `GET /api/v4/current-status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlatformStatus {
    /// Each part with its colour.
    pub status: Vec<System>,
    pub incidents: Vec<Incident>,
    /// Always empty: nothing is announced ahead.
    pub scheduled: Vec<Incident>,
}

/// A part of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct System {
    /// `Apps` or `Tools`.
    pub system: String,
    /// `green` or `red`.
    pub status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incident {
    pub title: String,
    pub created_at: Time,
    pub full_url: String,
    /// What was said of it.
    pub updates: Vec<Update>,
}

/// One thing that was said of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Update {
    /// `issue`.
    pub update_type: String,
    pub updated_at: Time,
    pub contents: String,
}
