//! The use cases: one method per verb, authorisation first, one transaction each, then a wake-up.
//!
//! Each folder is an area: a struct with its use cases, and whatever keeps true or gets done what they began.
//!
//! * [`kernel`]: what every area stands on, and the frames of jobs and reconcilers;
//! * [`people`]: accounts, what they are recognised by, who works on which app;
//! * [`addons`]: what apps have besides, and the servers that hold it;
//! * [`app`]: apps and what is set on them;
//! * [`deploy`]: from source to a release;
//! * [`images`]: the registry of each app, and images that are made ready to run;
//! * [`dynos`]: dynos from start to end;
//! * [`routing`]: domains, the router, the platform's own certificates;
//! * [`logs`]: what apps say;
//! * [`platform`]: the server itself.
//!
//! An area calls the kernel and what it is handed: `app`, `dynos` and `addons` have `deploy`. Others meet in rows of the store and
//! in wake-ups (`cargo xtask check-arch` holds this list).
//!
//! Control depends on the runtime *port*, never on a backend, and nothing here reads the environment.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use paddock_addons::Catalogue;
use paddock_addons::postgres::Postgres;
use paddock_build::Builder;
use paddock_build::git::Repositories;
use paddock_core::UnixMicros;
use paddock_core::turns::Turns;
use paddock_images::{Blobs, LayerStore};
use paddock_outbound::Outbound;
use paddock_outbound::s3::Bucket;
use paddock_runtime::{LocalVolumes, Runtime};
use paddock_store::Store;
use paddock_telemetry::{LogPlane, OutputLogs};
use tokio_util::sync::CancellationToken;

use crate::addons::Addons;
use crate::app::Apps;
use crate::deploy::Deploy;
use crate::deploy::buildpack::mirror::Mirror;
use crate::dynos::Dynos;
use crate::images::Images;
use crate::kernel::Kernel;
use crate::kernel::dump_databases::DUMPS;
use crate::kernel::reconcile::Task;
use crate::logs::Logs;
use crate::people::People;
use crate::platform::Platform;
use crate::routing::Routing;
use crate::routing::certificate_authority::data::DataCa;
use crate::routing::publisher::Publisher;
use crate::routing::router_link::{RouterLink, RouterStarter};

pub mod addons;
pub mod app;
pub mod deploy;
pub mod dynos;
pub mod images;
pub mod kernel;
pub mod logs;
pub mod people;
pub mod platform;
pub mod routing;
#[cfg(test)]
mod tests;

pub use addons as addon;
pub use app::{App, AppChange, AppOrder};
pub use app::{buildpack_installation, feature, platform_status, stack};
pub use deploy::buildpack::import;
pub use deploy::stack as added_stack;
pub use deploy::{build, git, output, push, release, slug, source};
pub use dynos::{dyno, formation};
pub use kernel::{Actor, Clock, ControlConfig, Error, Machine, REGION, Result, fixed_id, fixed_since};
pub use kernel::{clock, reconcile, request_outcome, wake};
pub use logs::log_session;
pub use people::{account, authorization, collaborator, favorite, key, operator};
pub use platform::backup;
pub use platform::keys::DataKey;
pub use routing::{certificate_authority, domain, proxy_form, router_link};

/// What a control plane is made of.
pub struct Parts {
    pub config: ControlConfig,
    pub store: Store,
    pub runtime: Arc<dyn Runtime>,
    /// The volumes of the runtime, whose files are on this machine.
    pub volumes: Arc<dyn LocalVolumes>,
    /// The layers of slugs, which are removed when no row names them.
    pub layers: Arc<dyn LayerStore>,
    /// What clients sent of images; containers see it as [`images::BLOBS`].
    pub blobs: Arc<Blobs>,
    pub repositories: Arc<Repositories>,
    pub builder: Arc<Builder>,
    pub logs: Arc<LogPlane>,
    /// Output of builds and release phases.
    pub outputs: Arc<OutputLogs>,
    /// Fetches from addresses that tenants name.
    pub outbound: Outbound,
    /// The bucket that backups of databases go to; `None` for a folder of the data directory.
    pub backups: Option<Bucket>,
    /// The router; `None` where nothing is routed (tests of use cases).
    pub router: Option<Arc<RouterLink>>,
    pub clock: Arc<dyn Clock>,
    /// What add-ons there can be.
    pub catalogue: Catalogue,
    /// The Postgres of the catalogue.
    pub postgres: Arc<Postgres>,
    /// The folder of certificate authorities.
    pub certificates: PathBuf,
}

/// The router that is looked after, and its folder.
pub struct RouterUpkeep {
    /// Brings back a router that is gone.
    pub starter: Arc<dyn RouterStarter>,
    /// Takes acknowledgements of lines.
    pub link: Arc<RouterLink>,
    /// Where the routers' spools are.
    pub folder: PathBuf,
}

/// The control plane: its areas. Every use case takes an [`Actor`] and checks it first.
pub struct Control {
    /// What every area stands on.
    pub kernel: Arc<Kernel>,
    pub people: Arc<People>,
    pub apps: Arc<Apps>,
    pub addons: Arc<Addons>,
    /// From source to a release.
    pub deploy: Arc<Deploy>,
    pub dynos: Arc<Dynos>,
    /// Registries, and images that are made ready to run.
    pub images: Arc<Images>,
    pub routing: Arc<Routing>,
    pub logs: Arc<Logs>,
    pub platform: Arc<Platform>,
}

impl Control {
    /// A control plane of these parts. Nothing runs yet: see [`Self::reconcilers`] and [`Self::run_jobs`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (kernel, publisher) = kernel_of(parts.config, parts.store, parts.clock, parts.logs, parts.router);
        let images =
            images_of(&kernel, &parts.runtime, &parts.volumes, parts.blobs, &parts.layers, &parts.outbound);
        let addons = addons_of(
            &kernel,
            &parts.runtime,
            (parts.catalogue, parts.postgres),
            &parts.certificates,
            parts.volumes,
            &parts.outbound,
            addons::backup::store_of(&kernel, parts.backups),
        );
        let deploy = Arc::new(Deploy {
            kernel: kernel.clone(),
            layers: parts.layers.clone(),
            repositories: parts.repositories.clone(),
            builder: parts.builder,
            outputs: parts.outputs.clone(),
            mirror: mirror_of(&kernel, &parts.outbound),
            outbound: parts.outbound,
            runtime: parts.runtime.clone(),
            addons: addons.clone(),
            images: images.clone(),
            cancels: Default::default(),
            stream_key: Default::default(),
            running_containers: Default::default(),
            layers_in_use: Default::default(),
            adding_stack: Default::default(),
            layers_coming: Default::default(),
            uploads: Turns::new(source::UPLOADS_OF_AN_ACCOUNT, source::UPLOADS),
        });
        let dynos = dynos_of(&kernel, &deploy, &parts.runtime);
        Self {
            people: Arc::new(People { kernel: kernel.clone() }),
            apps: Arc::new(Apps {
                kernel: kernel.clone(),
                deploy: deploy.clone(),
                runtime: parts.runtime.clone(),
                addons: addons.clone(),
            }),
            addons: addons.clone(),
            dynos,
            images,
            routing: Arc::new(Routing { kernel: kernel.clone(), publisher }),
            logs: Arc::new(logs_of(&kernel, &parts.runtime, parts.outputs)),
            platform: Arc::new(Platform {
                kernel: kernel.clone(),
                runtime: parts.runtime,
                layers: parts.layers,
                repositories: parts.repositories,
                garbage: Default::default(),
                dumps: addons,
                backing_up: Default::default(),
            }),
            deploy,
            kernel,
        }
    }

    /// Everything that is kept true, each in a task that hears wake-ups from now on; what concerns the router, if there
    /// is one.
    #[must_use]
    pub fn reconcilers(&self, router: Option<RouterUpkeep>) -> Vec<Task> {
        let kernel = || self.kernel.clone();
        let mut tasks = vec![
            Task::new(kernel(), dynos::reconcile::FormationReconciler::new(self.dynos.clone())),
            Task::new(kernel(), logs::output::OutputReconciler::new(self.logs.clone())),
            Task::new(kernel(), addons::reconcile::AddonReconciler::new(self.addons.clone())),
            Task::new(kernel(), addons::backup::FillReconciler::new(self.addons.clone())),
            Task::new(kernel(), addons::limits::LimitsReconciler::new(self.addons.clone())),
            Task::new(kernel(), addons::output::DatabaseLogReconciler::new(self.addons.clone())),
            Task::new(kernel(), addons::backup::DailyBackups::new(self.addons.clone())),
            Task::new(kernel(), self.garbage()),
            Task::new(kernel(), platform::network::NetworkReconciler::new(self.platform.clone())),
            Task::new(kernel(), platform::rate_limits::RateLimitReconciler::new(self.platform.clone())),
        ];
        if let Some(RouterUpkeep { starter, link, folder }) = router {
            let routes = routing::reconcile::RouteReconciler::new(self.routing.clone(), starter);
            let lines = routing::router_lines::RouterLines::new(self.routing.clone(), link, folder);
            tasks.extend([Task::new(kernel(), routes), Task::new(kernel(), lines)]);
        }
        tasks
    }

    /// Each area sweeps what it makes.
    fn garbage(&self) -> platform::sweep::GarbageReconciler {
        let sweeps: Vec<Box<dyn kernel::sweep::Sweep>> = vec![
            Box::new(deploy::sweep::DeploySweep::new(self.deploy.clone())),
            Box::new(addons::backup::TransferSweep::new(self.addons.clone())),
            Box::new(images::RegistrySweep::new(self.images.clone())),
            Box::new(logs::sweep::LogSweep::new(self.logs.clone())),
        ];
        platform::sweep::GarbageReconciler::new(self.platform.clone(), sweeps)
    }

    /// Does the jobs of this server's apps until `stop`. `owner` names this process.
    ///
    /// # Errors
    /// When the database cannot be written for long at the start, and where another process has the identity of this one.
    pub async fn run_jobs(&self, owner: String, stop: CancellationToken) -> Result<()> {
        let builds = deploy::job::Builds(self.deploy.clone());
        let transfers = addons::backup::Transfers(self.addons.clone());
        let conversions = images::Conversions(self.images.clone());
        let lanes = vec![
            kernel::job::Lane::new(builds, self.kernel.config.concurrent_builds),
            kernel::job::Lane::new(conversions, images::at_a_time(self.kernel.config.machine)),
            kernel::job::Lane::new(transfers, addons::backup::AT_A_TIME),
        ];
        kernel::job::run(self.kernel.clone(), lanes.into(), owner, stop).await
    }

    /// The settings it was started with.
    #[must_use]
    pub fn config(&self) -> &ControlConfig {
        self.kernel.config()
    }

    /// Now, by the control plane's clock.
    #[must_use]
    pub fn now(&self) -> UnixMicros {
        self.kernel.now()
    }

    #[must_use]
    pub fn repositories(&self) -> &Repositories {
        &self.deploy.repositories
    }

    #[must_use]
    pub fn runtime(&self) -> &dyn Runtime {
        self.dynos.runtime.as_ref()
    }

    /// Closes the store, after everything that uses it has ended.
    pub async fn close(&self) {
        if let Err(error) = self.kernel.write_rate_limits().await {
            tracing::warn!(
                error = kernel::error::chain(&error),
                "the last seconds of rate limits are forgotten"
            );
        }
        self.kernel.store.close().await;
    }
}

fn images_of(
    kernel: &Arc<Kernel>,
    runtime: &Arc<dyn Runtime>,
    volumes: &Arc<dyn LocalVolumes>,
    blobs: Arc<Blobs>,
    layers: &Arc<dyn LayerStore>,
    outbound: &Outbound,
) -> Arc<Images> {
    Arc::new(Images {
        kernel: kernel.clone(),
        runtime: runtime.clone(),
        volumes: volumes.clone(),
        blobs,
        layers: layers.clone(),
        outbound: outbound.clone(),
        token_key: Default::default(),
        upload_turns: Default::default(),
        converting: images::converting(kernel.config.machine),
    })
}

fn logs_of(kernel: &Arc<Kernel>, runtime: &Arc<dyn Runtime>, outputs: Arc<OutputLogs>) -> Logs {
    Logs { kernel: kernel.clone(), runtime: runtime.clone(), outputs }
}

fn mirror_of(kernel: &Kernel, outbound: &Outbound) -> Mirror {
    Mirror::new(kernel.config.data_dir.join("buildpacks"), outbound.clone())
}

fn dynos_of(kernel: &Arc<Kernel>, deploy: &Arc<Deploy>, runtime: &Arc<dyn Runtime>) -> Arc<Dynos> {
    Arc::new(Dynos {
        kernel: kernel.clone(),
        deploy: deploy.clone(),
        runtime: runtime.clone(),
        stopping: Default::default(),
        clients: dynos::attached::Clients::new(kernel.wakes.clone()),
    })
}

fn addons_of(
    kernel: &Arc<Kernel>,
    runtime: &Arc<dyn Runtime>,
    (catalogue, postgres): (Catalogue, Arc<Postgres>),
    certificates: &Path,
    volumes: Arc<dyn LocalVolumes>,
    outbound: &Outbound,
    backups: Box<dyn addons::backup::BackupStore>,
) -> Arc<Addons> {
    let data = &kernel.config.data_dir;
    let certificates = DataCa::new(certificates, &kernel.config.domain, kernel.clock.clone());
    Arc::new(Addons {
        kernel: kernel.clone(),
        runtime: runtime.clone(),
        catalogue,
        postgres,
        certificates: Arc::new(certificates),
        volumes,
        outbound: outbound.clone(),
        backups,
        reaching: Default::default(),
        dumps_to_fill: addons::backup::DumpsToFill::new(data.join(DUMPS)),
        dumping: Default::default(),
        restricting: Default::default(),
        answering: Default::default(),
    })
}

/// What every area stands on, and what tells the router.
fn kernel_of(
    config: ControlConfig,
    store: Store,
    clock: Arc<dyn Clock>,
    logs: Arc<LogPlane>,
    router: Option<Arc<RouterLink>>,
) -> (Arc<Kernel>, Arc<Publisher>) {
    let wakes = Arc::new(wake::Wakes::default());
    let publisher = Arc::new(Publisher::new(config.clone(), store.clone(), wakes.clone(), router));
    let kernel = Kernel {
        config,
        store,
        clock,
        logs,
        routes: publisher.clone(),
        drained: Default::default(),
        data_ready: Default::default(),
        numbers: Default::default(),
        rate_limits: Default::default(),
        run_id: uuid::Uuid::new_v4().to_string(),
        wakes,
    };
    (Arc::new(kernel), publisher)
}
