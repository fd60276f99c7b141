//! The server itself: its numbers, backups, keys, network, and what nobody names any more.

pub mod backup;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod rate_limits;
pub(crate) mod sweep;
