//! The use cases: one method of [`Control`] per verb, authorisation first, one transaction each, then a wake-up.
//!
//! * one file per noun (`app`, `config_var`, `release` …): what the API does, thin and synchronous;
//! * [`jobs`]: what ends (builds, release phases), as rows that a crash resumes or fails;
//! * [`reconcile`]: what must stay so (formations, routes, output, garbage), with pure planners in core;
//! * [`router_link`]: the connection to the router; [`certificate_authority`]: the platform's own certificates.
//!
//! Control depends on the runtime *port*, never on a backend, and nothing here reads the environment.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use paddock_build::Builder;
use paddock_build::git::Repositories;
use paddock_core::{ContainerId, UnixMicros};
use paddock_images::{HostStack, Layers};
use paddock_runtime::Runtime;
use paddock_store::Store;
use paddock_telemetry::{LogPlane, OutputLogs};

use crate::router_link::RouterLink;

mod actor;
mod cancel;
pub mod certificate_authority;
pub mod clock;
mod config;
mod dyno_steps;
mod error;
pub mod jobs;
mod label;
mod launch;
mod platform_log;
pub mod push;
pub mod reconcile;
mod release_steps;
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
    /// Slug layers.
    pub layers: Arc<Layers>,
    /// The `host` stack as this machine has it now.
    pub host_stack: HostStack,
    /// Git repositories of apps.
    pub repositories: Arc<Repositories>,
    /// Runs builds.
    pub builder: Arc<Builder>,
    /// Apps' logs.
    pub logs: Arc<LogPlane>,
    /// Output of builds and release phases.
    pub outputs: Arc<OutputLogs>,
    /// The router; `None` where nothing is routed (tests of use cases).
    pub router: Option<Arc<RouterLink>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The control plane. Cheap to share behind an [`Arc`]; every use case takes an [`Actor`] and checks it first.
pub struct Control {
    pub(crate) config: ControlConfig,
    pub(crate) store: Store,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) layers: Arc<Layers>,
    pub(crate) host_stack: HostStack,
    pub(crate) repositories: Arc<Repositories>,
    pub(crate) builder: Arc<Builder>,
    pub(crate) logs: Arc<LogPlane>,
    pub(crate) outputs: Arc<OutputLogs>,
    pub(crate) router: Option<Arc<RouterLink>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) last_routes: reconcile::routes::LastRoutes,
    pub(crate) drained: reconcile::output::Drained,
    /// Containers that were sent SIGTERM by this process.
    pub(crate) stopping: Mutex<HashSet<ContainerId>>,
    pub(crate) cancels: cancel::Cancels,
    /// Wake-ups of reconcilers, jobs and waiters.
    pub wakes: wake::Wakes,
}

impl Control {
    /// A control plane of these parts. Nothing runs yet: see [`reconcile::keep_true`] and [`jobs`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            config: parts.config,
            store: parts.store,
            runtime: parts.runtime,
            layers: parts.layers,
            host_stack: parts.host_stack,
            repositories: parts.repositories,
            builder: parts.builder,
            logs: parts.logs,
            outputs: parts.outputs,
            router: parts.router,
            clock: parts.clock,
            last_routes: Default::default(),
            drained: Default::default(),
            stopping: Default::default(),
            cancels: Default::default(),
            wakes: Default::default(),
        }
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
