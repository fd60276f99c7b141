//! What every area stands on: who asks and what they may, errors, the time, wake-ups, and the frames of jobs and
//! reconcilers. Nothing here knows an area.

pub(crate) mod access;
pub(crate) mod actor;
pub(crate) mod checked;
pub mod clock;
pub(crate) mod config;
pub(crate) mod drained;
pub(crate) mod emails;
pub(crate) mod error;
mod fixed;
pub(crate) mod handover;
pub mod job;
pub(crate) mod label;
pub(crate) mod new_dyno;
pub(crate) mod numbers;
mod platform_log;
pub(crate) mod rate_limit;
pub mod reconcile;
pub mod request_outcome;
pub(crate) mod secret;
pub mod wake;

pub use actor::Actor;
pub use clock::Clock;
pub use config::ControlConfig;
pub use error::{Error, Result};
pub use fixed::{fixed_id, fixed_since};
