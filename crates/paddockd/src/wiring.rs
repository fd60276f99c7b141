//! How the parts of a server are put together.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use paddock_addons::Catalogue;
use paddock_addons::postgres::Postgres;
use paddock_build::git::{GitConfig, Group, Repositories};
use paddock_build::{Builder, BuilderConfig, ProgramLibraries};
#[cfg(not(feature = "fail-points"))]
use paddock_control::clock::SystemClock as ServerClock;
use paddock_control::images::BLOBS;
use paddock_control::router_link::RouterLink;
use paddock_control::{Control, ControlConfig, Machine, Parts};
use paddock_core::stack::{Stack, StackVersion};
use paddock_images::{ArchiveLimits, Blobs, HostStack, Layers};
use paddock_outbound::s3::Bucket;
use paddock_outbound::{Outbound, Roots};
use paddock_runtime_linux::host_process::Confinement;
use paddock_runtime_linux::{IdRanges, LinuxConfig, LinuxRuntime, LocalImages};
use paddock_store::{Store, StoreConfig};
use paddock_telemetry::{LogPlane, OutputLogs, Retention};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::database;
use crate::egress;
#[cfg(feature = "fail-points")]
use crate::fail_points::ServerClock;
use crate::instance::Instance;
use crate::paths::Paths;
use crate::resolvers;
use crate::settings::Settings;
use crate::site::Site;
use crate::start_error::StartError;

/// Largest slug, compressed. Source: `docs/contract/platform-behaviour.md`, section 8.
const SLUG_BYTES_MAX: u64 = 500 * 1024 * 1024;
/// Largest repository.
const REPOSITORY_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// The most that a commit's files may have, as an uploaded archive's.
const CHECKOUT_BYTES_MAX: u64 = ArchiveLimits::SOURCE.bytes;
/// Limits of all git processes of clients together, and once more of the server's own.
const GIT_MEMORY_BYTES: u64 = 1024 * 1024 * 1024;
const GIT_PIDS: u32 = 256;
/// Where Debian has its versions of PostgreSQL.
const POSTGRES: &str = "/usr/lib/postgresql";
/// An app's log on disk.
const RETENTION: Retention = Retention {
    lines_min: 1500,
    age_min: Duration::from_secs(7 * 24 * 60 * 60),
    bytes_max: 256 * 1024 * 1024,
};

/// Says everything that the machine and the data folder lack, with what to do.
pub(crate) fn check_machine(data: &Path) -> Result<(), StartError> {
    let missing: Vec<_> = paddock_runtime_linux::check_host()
        .into_iter()
        .chain([paddock_runtime_linux::check_folder("data folder", data)])
        .filter(|check| !check.ok)
        .map(|check| format!("{}: {}. {}", check.name, check.detail, check.remedy))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("this machine is not ready (paddockd doctor tells more):\n  {}", missing.join("\n  ")).into())
}

/// A Unix socket that one unprivileged user may connect to.
pub(crate) fn listen_for(path: &Path, uid: u32) -> io::Result<UnixListener> {
    #[expect(clippy::disallowed_methods, reason = "a socket of the server before: each start makes its own")]
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
    chown(path, Some(uid), Some(uid))?;
    Ok(listener)
}

/// Containers on this machine, and what they are made of.
pub(crate) struct Containers {
    pub(crate) runtime: Arc<LinuxRuntime>,
    images: LocalImages,
    /// Its shares are the runtime's.
    builder: BuilderConfig,
}

/// Finds the containers that run already, and makes sure of what new ones are made of.
pub(crate) async fn open_containers(
    settings: &Settings,
    paths: &Paths,
    instance: &Instance,
    program: &Path,
) -> Result<Containers, StartError> {
    for entry in &settings.allow_egress {
        if let Some(remark) = egress::remark(&entry.text, egress::is_own) {
            tracing::warn!("{remark}");
        }
    }
    let stacks = paths.data.join("stacks");
    let host_stack =
        tokio::task::spawn_blocking(move || HostStack::ensure(Path::new("/"), &stacks)).await??;
    let present = StackVersion { stack: Stack::HOST, version: host_stack.version.clone() };
    let images = LocalImages { layers: Layers::open(paths.data.join("layers"))?, host_stack };
    let builder = builder_config(settings, paths, present);
    let config = LinuxConfig {
        router_ports: vec![settings.listen.port()],
        allow_egress: settings.allow_egress.iter().map(|entry| entry.text.clone()).collect(),
        images: Some(images.clone()),
        shares: builder.shares().into_iter().chain([(BLOBS, paths.blobs())]).collect(),
        ..linux_config(paths, instance, program)
    };
    Ok(Containers { runtime: LinuxRuntime::open(config).await?, images, builder })
}

/// The runtime as it is needed to end what a killed server left.
pub(crate) async fn open_bare_runtime(
    paths: &Paths,
    instance: &Instance,
    program: &Path,
) -> Result<Arc<LinuxRuntime>, StartError> {
    Ok(LinuxRuntime::open(linux_config(paths, instance, program)).await?)
}

/// What a runtime needs that starts nothing.
fn linux_config(paths: &Paths, instance: &Instance, program: &Path) -> LinuxConfig {
    LinuxConfig {
        run_dir: paths.run().join("containers"),
        lasting_volumes: paths.data.join("volumes"),
        addresses: paths.data.join("addresses.json"),
        instance: instance.letters.clone(),
        program: program.to_owned(),
        router_ports: Vec::new(),
        allow_egress: Vec::new(),
        id_ranges: IdRanges { first: instance.first_app_range(), count: instance.app_ranges() },
        images: None,
        shares: BTreeMap::new(),
        helper_uid: instance.helper_uid(),
        disk_interval: paddock_runtime_linux::DISK_INTERVAL,
    }
}

/// Durable state, where this data folder has it.
pub(crate) async fn open_store(settings: &Settings, paths: &Paths) -> Result<Store, StartError> {
    let database = database::choose(paths, settings.database.clone())?;
    let master_key_file = settings.master_key(paths);
    let store = Store::open(&StoreConfig::new(database, master_key_file, database::identity(paths)?)).await?;
    if let Some(url) = &settings.database {
        database::note(paths, url)?;
    }
    Ok(store)
}

/// The control plane with everything it stands on.
pub(crate) async fn open_control(
    settings: &Settings,
    paths: &Paths,
    instance: &Instance,
    program: &Path,
    store: Store,
    containers: Containers,
    link: Arc<RouterLink>,
) -> Result<Arc<Control>, StartError> {
    let data = &paths.data;
    let Containers { runtime, images, builder } = containers;
    let layers = Arc::new(images.layers);
    let config = ControlConfig {
        data_dir: data.clone(),
        domain: settings.domain.clone(),
        listen: settings.listen,
        program: crate::router_process::program_id()?,
        host_stack_version: images.host_stack.version,
        trusted_proxies: settings.trusted_proxies.clone(),
        resolvers: resolvers::of_this_machine(),
        concurrent_builds: settings.concurrent_builds,
        build_disk: settings.build_disk,
        layer_cache_bytes: settings.layer_cache_bytes,
        registry_bytes: settings.registry_bytes,
        dyno_disk: settings.dyno_disk,
        dyno_trial: settings.dyno_trial,
        data_memory_percent: settings.data_memory_percent,
        data_storage_grace: settings.data_storage_grace,
        machine: machine(),
        buildpack_urls: settings.buildpack_urls,
        buildpack_age: settings.buildpack_age,
    };
    let postgres = Arc::new(Postgres::new(postgres_programs()));
    Ok(Arc::new(Control::new(Parts {
        config,
        store,
        builder: Arc::new(Builder::new(builder, runtime.clone(), layers.clone())),
        volumes: runtime.clone(),
        runtime,
        layers,
        blobs: Arc::new(Blobs::open(paths.blobs())?),
        repositories: Arc::new(Repositories::open(git_config(paths, instance, program)?)?),
        logs: Arc::new(LogPlane::open(data.join("logs"), RETENTION)?),
        outputs: Arc::new(OutputLogs::open(data.join("outputs"))?),
        outbound: outbound(settings, roots(settings, paths)?)?,
        backups: bucket(settings, paths)?,
        router: Some(link),
        clock: Arc::new(ServerClock),
        catalogue: Catalogue::new(vec![postgres.clone()]),
        postgres,
        certificates: paths.ca(),
    })))
}

/// What this machine has.
fn machine() -> Machine {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pages = rustix::system::sysinfo();
    Machine {
        millicores: u32::try_from(cores * 1000).unwrap_or(u32::MAX),
        memory_bytes: pages.totalram.saturating_mul(u64::from(pages.mem_unit)),
    }
}

/// The versions of PostgreSQL that this machine has, each with the folder of its programs: Debian's, which containers of
/// the `host` stack see at the same place.
pub(crate) fn postgres_programs() -> Vec<(u16, String)> {
    let Ok(entries) = std::fs::read_dir(POSTGRES) else { return Vec::new() };
    let versions = entries.flatten().filter_map(|entry| {
        let version = entry.file_name().to_str()?.parse().ok()?;
        let programs = entry.path().join("bin");
        programs.join("postgres").exists().then(|| (version, programs.display().to_string()))
    });
    versions.collect()
}

fn builder_config(settings: &Settings, paths: &Paths, host_stack: StackVersion) -> BuilderConfig {
    let site = Site::new(environment, &paths.data, settings.listen);
    BuilderConfig {
        folder: paths.data.join("builds"),
        caches: paths.data.join("caches"),
        archives: paths.data.join("buildpacks"),
        site_env: site.for_builds(settings.buildpack_folder.as_deref()).into_iter().collect(),
        buildpack_urls: settings.buildpack_urls,
        buildpack_folder: settings.buildpack_folder.clone(),
        host_stack,
        libraries: ProgramLibraries::of_this_process().unwrap_or_else(|error| {
            tracing::warn!(%error, "images cannot be built: the C library of this program is not where it can be shown");
            None
        }),
        slug_bytes_max: SLUG_BYTES_MAX,
    }
}

/// A variable of the operator's.
#[expect(clippy::disallowed_methods, reason = "the server binary is where the environment is read")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whom the server trusts that it asks itself: the operator's `SSL_CERT_FILE`, as builds do.
fn roots(settings: &Settings, paths: &Paths) -> Result<Roots, StartError> {
    Ok(match Site::new(environment, &paths.data, settings.listen).variable("SSL_CERT_FILE") {
        Some(file) => Roots::of_file(Path::new(&file))?,
        None => Roots::of_system()?,
    })
}

/// The bucket that backups of databases go to, if they go to one.
pub(crate) fn bucket(settings: &Settings, paths: &Paths) -> Result<Option<Bucket>, StartError> {
    match &settings.backups {
        Some(backups) => Ok(Some(backups.bucket(roots(settings, paths)?)?)),
        None => Ok(None),
    }
}

/// The client for addresses that tenants name.
fn outbound(settings: &Settings, roots: Roots) -> Result<Outbound, StartError> {
    let allowed = settings.allow_egress.iter().filter_map(|entry| entry.network).collect();
    if roots.count() == 0 {
        tracing::warn!(
            "no certificate authorities are installed: sources at https addresses cannot be fetched"
        );
    }
    Ok(Outbound::new(allowed, roots))
}

fn git_config(paths: &Paths, instance: &Instance, program: &Path) -> Result<GitConfig, StartError> {
    let held_in = |group: &str| Confinement {
        program: program.to_owned(),
        instance: instance.letters.clone(),
        uid: instance.git_uid(),
        group: group.to_owned(),
        memory_bytes: GIT_MEMORY_BYTES,
        pids: GIT_PIDS,
    };
    let (transfers, own) = (held_in("git"), held_in("git-own"));
    Ok(GitConfig {
        folder: paths.data.join("git"),
        hooks: paths.data.join("git-hooks"),
        program: git_program()?,
        uid: instance.git_uid(),
        hook_program: program.to_owned(),
        hook_socket: paths.git_hook_socket(),
        repository_bytes_max: REPOSITORY_BYTES_MAX,
        archive_bytes_max: CHECKOUT_BYTES_MAX,
        confine: Arc::new(move |program: &Path, group| {
            let mut command = match group {
                Group::Transfers => transfers.command(program),
                Group::Own => own.command(program),
            };
            command.env_clear();
            command
        }),
    })
}

fn git_program() -> Result<PathBuf, StartError> {
    ["/usr/bin/git", "/usr/local/bin/git", "/bin/git"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or_else(|| "git is not installed. Install it: apt-get install git".into())
}

/// Turns the runtime's news into wake-ups.
pub(crate) async fn pass_on_changes(control: Arc<Control>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = control.runtime().changed() => {
                control.kernel.wakes.output.wake();
                control.kernel.wakes.dynos.wake();
                control.kernel.wakes.addons.wake();
            }
        }
    }
}
