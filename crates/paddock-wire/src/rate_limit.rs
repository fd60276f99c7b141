//! The rate limit.

use serde::Serialize;

/// What is left of the account's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Requests that may be made now.
    pub remaining: u32,
}
