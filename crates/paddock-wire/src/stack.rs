//! Stacks.

use serde::Serialize;

use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stack {
    /// Whether new apps get it.
    pub default: bool,
    pub created_at: Time,
    pub id: String,
    pub name: String,
    /// `beta`, `deprecated` or `public`.
    pub state: String,
    pub updated_at: Time,
}
