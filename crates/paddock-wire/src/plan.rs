//! Plans of a service.

use serde::Serialize;

use crate::named::NamedRef;
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub addon_service: NamedRef,
    pub created_at: Time,
    /// Always null.
    pub compliance: Option<Vec<String>>,
    /// Whether it is taken when none is named.
    pub default: bool,
    pub description: String,
    pub human_name: String,
    pub id: String,
    pub installable_inside_private_network: bool,
    pub installable_outside_private_network: bool,
    /// `SERVICE:PLAN`.
    pub name: String,
    pub price: Price,
    pub space_default: bool,
    /// `public`.
    pub state: String,
    pub updated_at: Time,
    pub visible: bool,
}

/// What it would cost. Nothing is charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Hundredths of a dollar.
    pub cents: i64,
    pub contract: bool,
    pub metered: bool,
    /// `month`.
    pub unit: String,
}
