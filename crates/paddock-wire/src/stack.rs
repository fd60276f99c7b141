//! Stacks.

use serde::Serialize;

use crate::time::Time;

/// A stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stack {
    /// Whether new apps get it.
    pub default: bool,
    /// When it was made.
    pub created_at: Time,
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// `beta`, `deprecated` or `public`.
    pub state: String,
    /// When it was changed.
    pub updated_at: Time,
}
