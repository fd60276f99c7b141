//! What apps say: their output into the log plane, and sessions that read it.

pub mod log_session;
pub(crate) mod output;
