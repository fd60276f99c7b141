//! A control plane for tests of this crate, with a store, a log plane and a runtime of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use paddock_addons::Catalogue;
use paddock_addons::fake::FakeService;
use paddock_addons::postgres::Postgres;
use paddock_build::git::{GitConfig, Repositories};
use paddock_build::{Builder, BuilderConfig};
use paddock_core::buildpack::BuildpackUrls;
use paddock_core::dyno::DynoDisk;
use paddock_core::stack::{Stack, StackVersion};
use paddock_core::{AccountId, AppId, ServerId, SlugId, UnixMicros};
use paddock_images::{Blobs, layer_store};
use paddock_outbound::{Outbound, Roots};
use paddock_runtime::fake::FakeRuntime;
use paddock_store::{Database, NewAccount, NewApp, NewSlug, Release, ServerIdentity, Store, StoreConfig, Tx};
use paddock_telemetry::{LogPlane, OutputLogs, Retention};
use tempfile::TempDir;
use uuid::Uuid;

use crate::deploy::release_steps::{ReleaseDraft, add_release};
use crate::kernel::clock::{Clock, SystemClock};
use crate::routing::router_link::RouterLink;
use crate::{Control, ControlConfig, Machine, Parts};

mod attached;
mod jobs;
mod layers;
mod names;
mod reconcile;
mod routes;
mod stacks;
mod tasks;
mod transfers;

/// A clock that tests set.
pub(crate) struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> UnixMicros {
        UnixMicros(self.0.load(Ordering::Relaxed))
    }
}

impl SetClock {
    /// The machine's time, from where it is moved on.
    pub(crate) fn now() -> Self {
        Self(AtomicI64::new(SystemClock.now().0))
    }

    pub(crate) fn at(text: &str) -> Self {
        let clock = Self(AtomicI64::new(0));
        clock.set(text);
        clock
    }

    pub(crate) fn set(&self, text: &str) {
        let at = text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        self.0.store(at, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

/// A control plane of which nothing runs by itself.
pub(crate) struct Still {
    pub(crate) control: Arc<Control>,
    pub(crate) runtime: FakeRuntime,
    pub(crate) fake: Arc<FakeService>,
    pub(crate) owner: AccountId,
    pub(crate) folder: TempDir,
}

impl Still {
    pub(crate) async fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock)).await
    }

    pub(crate) async fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self::with(clock, None).await
    }

    /// With a router to tell of routes.
    pub(crate) async fn with_router(router: Arc<RouterLink>) -> Self {
        Self::with(Arc::new(SystemClock), Some(router)).await
    }

    async fn with(clock: Arc<dyn Clock>, router: Option<Arc<RouterLink>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = FakeRuntime::new();
        let fake = Arc::new(FakeService::default());
        let catalogue = Catalogue::new(vec![fake.clone()]);
        let parts = Parts { clock, router, catalogue, ..parts(folder.path(), runtime.clone()).await };
        let control = Arc::new(Control::new(parts));
        let owner = AccountId::from_uuid(Uuid::now_v7());
        let mut tx = control.kernel.store.begin_platform(control.now(), "test").await.unwrap();
        let email = "owner@example.com".to_owned();
        tx.create_account(&NewAccount { id: owner, email, name: None, password_hash: None }).await.unwrap();
        tx.commit().await.unwrap();
        Self { control, runtime, fake, owner, folder }
    }

    /// Makes an app and releases a slug with one process type.
    pub(crate) async fn deployed_app(&self, name: &str, process_type: &str, command: &str) -> Release {
        let mut tx = self.control.kernel.store.begin_platform(self.control.now(), "test").await.unwrap();
        let id = AppId::from_uuid(Uuid::now_v7());
        let new = NewApp { id, name: name.parse().unwrap(), owner_id: self.owner, stack: Stack::HOST };
        tx.create_app(&new).await.unwrap();
        tx.set_config(id, &[("NAME".to_owned(), name.to_owned())].into()).await.unwrap();
        self.release(tx, id, process_type, command).await
    }

    /// Releases a slug with one process type, with what else the transaction does.
    pub(crate) async fn release(&self, mut tx: Tx, app: AppId, process_type: &str, command: &str) -> Release {
        let slug = slug(app, process_type, command);
        tx.create_slug(&slug).await.unwrap();
        let draft = ReleaseDraft {
            description: "Deploy 12345678".to_owned(),
            account_id: self.owner,
            slug_id: Some(slug.id),
            rollback_of: None,
        };
        let release = add_release(&mut tx, app, draft).await.unwrap();
        tx.commit().await.unwrap();
        release
    }
}

fn slug(app_id: AppId, process_type: &str, command: &str) -> NewSlug {
    NewSlug {
        id: SlugId::from_uuid(Uuid::now_v7()),
        app_id,
        layer: format!("sha256:{}", "0".repeat(64)),
        put_secret_sha256: None,
        size_bytes: 2048,
        checksum: None,
        commit_id: None,
        commit_description: None,
        process_types: [(process_type.parse().unwrap(), command.to_owned())].into(),
        buildpack_description: None,
        stack: Stack::HOST,
        stack_version: "test".to_owned(),
        images: Default::default(),
    }
}

fn config(data: &Path) -> ControlConfig {
    ControlConfig {
        data_dir: data.to_owned(),
        domain: "paddock.example".to_owned(),
        listen: "127.0.0.1:5000".parse().unwrap(),
        program: "test".to_owned(),
        host_stack_version: "test".to_owned(),
        resolvers: Vec::new(),
        trusted_proxies: Vec::new(),
        concurrent_builds: 2,
        build_disk: paddock_core::build::BuildDisk::Unlimited,
        layer_cache_bytes: u64::MAX,
        dyno_disk: DynoDisk::BySize,
        dyno_trial: Duration::from_secs(5),
        data_memory_percent: 100,
        data_storage_grace: Duration::from_secs(60),
        buildpack_age: Duration::ZERO,
        machine: Machine { millicores: 2000, memory_bytes: 4 << 30 },
        registry_bytes: 1 << 30,
        buildpack_urls: BuildpackUrls::HttpsOnly,
    }
}

async fn parts(data: &Path, runtime: FakeRuntime) -> Parts {
    let server = ServerIdentity {
        id: ServerId::from_uuid(Uuid::from_u128(1)),
        incarnation: Uuid::new_v4().to_string(),
        known: false,
    };
    let database = Database::Sqlite(data.join("db/paddock.sqlite"));
    let store = StoreConfig::new(database, data.join("keys/master"), server);
    let runtime = Arc::new(runtime);
    let layers = layer_store(data.join("layers")).unwrap();
    let builder = BuilderConfig {
        folder: data.join("builds"),
        caches: data.join("caches"),
        archives: data.join("buildpacks"),
        site_env: Default::default(),
        buildpack_urls: BuildpackUrls::HttpsOnly,
        buildpack_folder: None,
        host_stack: StackVersion { stack: Stack::HOST, version: "test".to_owned() },
        libraries: None,
        slug_bytes_max: 1 << 20,
    };
    let git = GitConfig {
        folder: data.join("git"),
        hooks: data.join("git-hooks"),
        program: "/usr/bin/git".into(),
        uid: rustix::process::geteuid().as_raw(),
        hook_program: "/bin/true".into(),
        hook_socket: data.join("hook.sock"),
        repository_bytes_max: 1 << 30,
        archive_bytes_max: 1 << 30,
        confine: Arc::new(|program, _| tokio::process::Command::new(program)),
    };
    let retention = Retention { lines_min: 1500, age_min: Duration::from_secs(60), bytes_max: 1 << 24 };
    Parts {
        config: config(data),
        store: Store::open(&store).await.unwrap(),
        builder: Arc::new(Builder::new(builder, runtime.clone(), layers.clone())),
        volumes: runtime.clone(),
        runtime,
        layers,
        blobs: Arc::new(Blobs::open(data.join("blobs")).unwrap()),
        repositories: Arc::new(Repositories::open(git).unwrap()),
        logs: Arc::new(LogPlane::open(data.join("logs"), retention).unwrap()),
        outputs: Arc::new(OutputLogs::open(data.join("outputs")).unwrap()),
        backups: None,
        outbound: Outbound::new(Vec::new(), Roots::of_system().unwrap()),
        router: None,
        clock: Arc::new(SystemClock),
        catalogue: Catalogue::new(Vec::new()),
        postgres: Arc::new(Postgres::new([])),
        certificates: data.join("ca"),
    }
}
