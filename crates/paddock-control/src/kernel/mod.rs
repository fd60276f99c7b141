//! What every area stands on: who asks and what they may, errors, the time, wake-ups, and the frames of jobs and
//! reconcilers. Nothing here knows an area.

pub(crate) mod access;
pub(crate) mod actor;
pub(crate) mod certificates;
pub(crate) mod change;
pub(crate) mod checked;
pub mod clock;
pub(crate) mod config;
pub(crate) mod containers;
pub(crate) mod data_ready;
pub(crate) mod drained;
pub(crate) mod dump_databases;
pub(crate) mod emails;
pub(crate) mod end_of_app;
pub(crate) mod error;
pub(crate) mod find_images;
mod fixed;
pub(crate) mod gather;
pub(crate) mod handover;
pub mod job;
pub(crate) mod label;
pub(crate) mod new_dyno;
pub(crate) mod numbers;
pub(crate) mod order_addons;
mod platform_log;
pub(crate) mod rate_limit;
pub mod reconcile;
pub mod request_outcome;
pub(crate) mod round;
pub(crate) mod routes;
pub(crate) mod secret;
pub(crate) mod stacks;
pub(crate) mod sweep;
pub mod wake;

pub use actor::Actor;
pub use clock::Clock;
pub use config::{ControlConfig, Machine};
pub use error::{Error, Result};
pub use fixed::{REGION, fixed_id, fixed_since};

use std::sync::Arc;

use paddock_core::UnixMicros;
use paddock_store::Store;
use paddock_telemetry::LogPlane;

use crate::kernel::routes::PublishRoutes;

/// What every area is made of. Use cases that several areas begin with (who may, what the log is told) are its methods.
pub struct Kernel {
    pub(crate) config: ControlConfig,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) logs: Arc<LogPlane>,
    pub(crate) routes: Arc<dyn PublishRoutes>,
    pub(crate) drained: drained::Drained,
    pub(crate) data_ready: data_ready::DataReady,
    pub(crate) numbers: numbers::Numbers,
    pub(crate) rate_limits: rate_limit::RateLimits,
    /// Names this run of the server among all that used the store.
    pub(crate) run_id: String,
    /// Wake-ups of reconcilers, jobs and waiters.
    pub wakes: Arc<wake::Wakes>,
}

impl Kernel {
    /// Now, by the control plane's clock.
    #[must_use]
    pub fn now(&self) -> UnixMicros {
        self.clock.now()
    }

    /// The settings it was started with.
    #[must_use]
    pub fn config(&self) -> &ControlConfig {
        &self.config
    }
}
