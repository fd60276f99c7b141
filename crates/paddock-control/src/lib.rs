//! The use cases: one method of [`Control`] per verb, authorisation first, one transaction each, then a wake-up.
//!
//! * one file per noun (`app`, `config_var`, `release` …): what the API does, thin and synchronous;
//! * [`jobs`]: what ends (builds, release phases), as rows that a crash resumes or fails;
//! * [`reconcile`]: what must stay so (formations, routes, output, garbage), with pure planners in core;
//! * [`router_link`]: the connection to the router; [`certificate_authority`]: the platform's own certificates.
//!
//! Control depends on the runtime *port*, never on a backend, and nothing here reads the environment.

use std::sync::Arc;

use paddock_core::UnixMicros;
use paddock_runtime::Runtime;
use paddock_store::Store;
use paddock_telemetry::{LogPlane, OutputLogs};

mod actor;
pub mod certificate_authority;
pub mod clock;
mod config;
mod error;
mod launch;
mod platform_log;
pub mod jobs;
pub mod reconcile;
pub mod router_link;
pub mod wake;

pub use actor::Actor;
pub use clock::Clock;
pub use config::ControlConfig;
pub use error::{Error, Result};

/// What a control plane is made of.
pub struct Parts {
    /// Settings.
    pub config: ControlConfig,
    /// Durable state.
    pub store: Store,
    /// Where containers run.
    pub runtime: Arc<dyn Runtime>,
    /// Apps' logs.
    pub logs: Arc<LogPlane>,
    /// Output of builds and release phases.
    pub outputs: Arc<OutputLogs>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The control plane. Cheap to share behind an [`Arc`]; every use case takes an [`Actor`] and checks it first.
pub struct Control {
    pub(crate) config: ControlConfig,
    pub(crate) store: Store,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) logs: Arc<LogPlane>,
    pub(crate) outputs: Arc<OutputLogs>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Wake-ups of reconcilers, jobs and waiters.
    pub wakes: wake::Wakes,
}

impl Control {
    /// A control plane of these parts. Nothing runs yet: see [`reconcile::keep_true`] and [`jobs`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { config, store, runtime, logs, outputs, clock } = parts;
        Self { config, store, runtime, logs, outputs, clock, wakes: wake::Wakes::default() }
    }

    /// The settings it was started with.
    #[must_use]
    pub fn config(&self) -> &ControlConfig {
        &self.config
    }

    /// Now, by the control plane's clock.
    #[must_use]
    pub fn now(&self) -> UnixMicros {
        self.clock.now()
    }
}
