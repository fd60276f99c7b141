//! The use cases: one method of [`Control`] per verb, authorisation first, one transaction each, then a wake-up.
//!
//! * one file per noun (`app`, `config_var`, `release` …): what the API does, thin and synchronous;
//! * [`jobs`]: what ends (builds, release phases), as rows that a crash resumes or fails;
//! * [`reconcile`]: what must stay so (formations, routes, output, garbage), with pure planners in core;
//! * [`backup`]: the whole data directory in one file, and back;
//! * [`router_link`]: the connection to the router; [`certificate_authority`]: the platform's own certificates.
//!
//! Control depends on the runtime *port*, never on a backend, and nothing here reads the environment.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use paddock_build::Builder;
use paddock_build::git::Repositories;
use paddock_core::durable;
use paddock_core::turns::Turns;
use paddock_core::{AccountId, ContainerId, UnixMicros};
use paddock_images::{HostStack, Layers};
use paddock_outbound::Outbound;
use paddock_runtime::Runtime;
use paddock_store::{MasterKeyRotation, Store, StoreError};
use paddock_telemetry::{LogPlane, OutputLogs};

use crate::routing::router_link::RouterLink;

mod app;
mod deploy;
mod dynos;
mod kernel;
mod logs;
mod people;
mod platform;
mod routing;
#[cfg(test)]
mod tests;

pub use app::{App, AppChange, AppOrder, REGION};
pub use app::{buildpack_installation, feature, platform_status, stack};
pub use deploy::{build, git, output, push, release, slug, source};
pub use dynos::{dyno, formation};
pub use kernel::{Actor, Clock, ControlConfig, Error, Result, fixed_id, fixed_since};
pub use kernel::{clock, job as jobs, reconcile, request_outcome, wake};
pub use logs::log_session;
pub use people::{account, authorization, collaborator, favorite, key, operator};
pub use platform::backup;
pub use routing::{certificate_authority, domain, proxy_form, router_link};
pub use {
    dynos::reconcile::FormationReconciler, logs::output::OutputReconciler,
    platform::network::NetworkReconciler, platform::rate_limits::RateLimitReconciler,
    platform::sweep::GarbageReconciler, routing::router_lines::RouterLines, routing::routes::RouteReconciler,
};

use deploy::{cancel, conversions, stream_secret};
use dynos::{attached as clients, launch};
use kernel::{error, rate_limit};

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
    /// Fetches from addresses that tenants name.
    pub outbound: Outbound,
    /// The router; `None` where nothing is routed (tests of use cases).
    pub router: Option<Arc<RouterLink>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What becomes of the key that secrets are sealed with when the master key, which wraps it, is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKey {
    /// It stays.
    Kept,
    /// Every secret is sealed again with another.
    Replaced,
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
    pub(crate) outbound: Outbound,
    pub(crate) router: Option<Arc<RouterLink>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) last_routes: routing::routes::LastRoutes,
    pub(crate) drained: kernel::drained::Drained,
    /// Containers that were sent SIGTERM by this process.
    pub(crate) stopping: Mutex<HashSet<ContainerId>>,
    pub(crate) cancels: cancel::Cancels,
    pub(crate) stream_key: stream_secret::StreamKey,
    pub(crate) numbers: kernel::numbers::Numbers,
    /// Held by who removes what nobody can reach any more, and by who needs it to stay.
    pub(crate) garbage: tokio::sync::Mutex<()>,
    /// Clients of attached one-off dynos.
    pub(crate) clients: clients::Clients,
    pub(crate) proxy_form: proxy_form::Offer,
    pub(crate) conversions: conversions::Conversions,
    pub(crate) rate_limits: rate_limit::RateLimits,
    /// Uploads of sources and slugs, by account.
    pub(crate) uploads: Turns<AccountId>,
    /// Names this run of the server among all that used the store.
    pub(crate) run_id: String,
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
            outbound: parts.outbound,
            router: parts.router,
            clock: parts.clock,
            last_routes: Default::default(),
            drained: Default::default(),
            stopping: Default::default(),
            cancels: Default::default(),
            stream_key: Default::default(),
            numbers: Default::default(),
            garbage: Default::default(),
            clients: Default::default(),
            proxy_form: Default::default(),
            conversions: Default::default(),
            rate_limits: Default::default(),
            uploads: Turns::new(source::UPLOADS_OF_AN_ACCOUNT, source::UPLOADS),
            run_id: uuid::Uuid::new_v4().to_string(),
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

    /// The apps' repositories.
    #[must_use]
    pub fn repositories(&self) -> &Repositories {
        &self.repositories
    }

    /// Where containers run.
    #[must_use]
    pub fn runtime(&self) -> &dyn Runtime {
        self.runtime.as_ref()
    }

    /// Ends every dyno: SIGTERM to all, then SIGKILL after the grace. Rows stay: the next start begins them anew.
    ///
    /// # Errors
    /// When the runtime fails.
    pub async fn stop_all_dynos(&self) -> Result<()> {
        let listing = |error| Error::internal("list containers", error);
        for observed in self.runtime.observe().await.map_err(listing)? {
            let stopped = durable!(
                "dyno.stopped_with_server",
                self.runtime.stop(observed.id, launch::STOP_GRACE).await
            );
            stopped.map_err(|error| Error::internal("stop a container", error))?;
        }
        let deadline = tokio::time::Instant::now() + launch::STOP_GRACE + std::time::Duration::from_secs(5);
        while tokio::time::Instant::now() < deadline {
            let observed = self.runtime.observe().await.map_err(listing)?;
            if observed.iter().all(|container| container.state != paddock_runtime::ContainerState::Running) {
                break;
            }
            let pause = std::time::Duration::from_millis(500);
            let _ = tokio::time::timeout(pause, self.runtime.changed()).await;
        }
        Ok(())
    }

    /// Makes a new master key, in the place of the old one or in `new_file`, and if asked for a new data key; how many
    /// values were sealed again. No backup is made meanwhile.
    ///
    /// # Errors
    /// When a key file or the database could not be written; asking again goes on.
    pub async fn rotate_keys(
        &self,
        master_key_file: &Path,
        new_file: Option<&Path>,
        data_key: DataKey,
    ) -> std::result::Result<(MasterKeyRotation, Option<u64>), StoreError> {
        if data_key == DataKey::Replaced && self.store.is_shared() {
            let doing = "replace the data key while servers run";
            let instead = "Stop every server that uses this database, then ask again with --database-url";
            return Err(StoreError::OnServer { doing, instead });
        }
        let _one_at_a_time = self.garbage.lock().await;
        let rotation = self.store.rotate_master_key(master_key_file, new_file).await?;
        let resealed = match data_key {
            DataKey::Kept => None,
            DataKey::Replaced => Some(self.store.rotate_data_key(new_file.unwrap_or(master_key_file)).await?),
        };
        Ok((rotation, resealed))
    }

    /// Closes the store, after everything that uses it has ended.
    pub async fn close(&self) {
        if let Err(error) = self.write_rate_limits().await {
            tracing::warn!(error = error::chain(&error), "the last seconds of rate limits are forgotten");
        }
        self.store.close().await;
    }
}
