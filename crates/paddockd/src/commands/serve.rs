//! `paddockd serve`: opens everything, announces itself, runs until told to end, drains.

use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paddock_api::Api;
use paddock_control::clock::{Clock as _, SystemClock};
use paddock_control::reconcile::Task;
use paddock_control::router_link::{RouterError, RouterHello, RouterLink};
use paddock_control::{Control, RouterUpkeep, backup, certificate_authority, push};
use paddock_core::error::chain;
use paddock_ipc::routes::ListenerKind;
use paddock_runtime_linux::LinuxRuntime;
use paddock_store::DatabaseUrl;
use rustix::process::{Resource, Rlimit};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin, StopKind};
use crate::certificates::CertificateReconciler;
use crate::instance::Instance;
use crate::notify;
use crate::paths::Paths;
use crate::proxy_form::ProxyForm;
use crate::router_process::{self, RouterProcess};
use crate::settings::ServeArgs;
use crate::start_error::StartError;
use crate::wiring;

/// How long tasks may take to end.
const DRAIN: Duration = Duration::from_secs(20);

/// How long the lock of a server that was killed may still be held: by a process that it was just about to start.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How often it is tried meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(args: ServeArgs) -> ExitCode {
    args.log_format.install();
    let url = match args.check(wiring::environment) {
        Ok(url) => url,
        Err(problems) => return crate::complain(&problems.to_string()),
    };
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return crate::complain("another TLS provider was installed first");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return crate::complain(&format!("could not start threads: {error}")),
    };
    let result = runtime.block_on(serve(args, url));
    runtime.shutdown_timeout(Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::complain(&chain(error.as_ref())),
    }
}

async fn serve(args: ServeArgs, url: Option<DatabaseUrl>) -> Result<(), StartError> {
    raise_descriptor_limit();
    let paths = prepare_data_dir(&args.data)?;
    let _lock = take_lock(&paths.serve_lock())?;
    wiring::check_machine(&paths.data)?;
    let instance = Instance::claim(&paths.data)?;
    instance.keep_ids(&paths.data)?;
    // The state first: without it nothing that runs is known to be anybody's.
    let store = wiring::open_store(&args, &paths, url).await?;
    let program = std::env::current_exe()?;
    let containers = wiring::open_containers(&args, &paths, &instance, &program).await?;
    let runtime = containers.runtime.clone();
    let front = match Front::open(&args, &paths, &instance, &runtime).await {
        Ok(front) => front,
        Err(error) => {
            if let Err(error) = runtime.close_unused().await {
                tracing::warn!(error = chain(&error), "what was made in the kernel is left there");
            }
            return Err(error);
        }
    };
    let Front { router, link, api_socket, rendezvous_socket } = front;
    let control =
        wiring::open_control(&args, &paths, &instance, &program, store, containers, link.clone()).await?;
    let email = args.admin_email.clone().unwrap_or_else(|| format!("admin@{}", args.domain));
    control.people.ensure_first_account(&email, &paths.admin_password()).await?;
    control.deploy.ensure_stream_key().await?;

    let proxy_form = Arc::new(ProxyForm::new(&args, &paths, &router, runtime.container_network()));
    proxy_form.resume(&control).await?;

    let tasks = Tasks::new();
    start_tasks(&control, &link, router, &proxy_form, &paths, &tasks)?;
    start_listeners(&control, api_socket, rendezvous_socket, &tasks);
    let admin = Arc::new(Admin {
        control: control.clone(),
        master_key: Mutex::new(args.master_key(&paths)),
        paths: paths.clone(),
        proxy_form,
        stop: tasks.stop.clone(),
        stop_kind: Mutex::new(StopKind::ServerOnly),
        waiting: Mutex::default(),
    });
    admin::listen(admin.clone())?;
    announce(&args, &paths);
    wait_for_end(&tasks.stop).await?;
    tasks.tracker.close();
    if tokio::time::timeout(DRAIN, tasks.tracker.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    if *admin::lock(&admin.stop_kind) == StopKind::Everything {
        end_everything(&control, &link, &runtime).await?;
    }
    control.close().await;
    let _ = std::fs::remove_file(paths.admin_socket());
    drop(std::mem::take(&mut *admin::lock(&admin.waiting)));
    if tasks.broken.load(Ordering::Relaxed) {
        Err("a part of the server broke, see its log".into())
    } else {
        Ok(())
    }
}

/// Dynos, builds, clients and their log tails are descriptors here, and a shell gives 1024. Dynos have a limit of their own.
fn raise_descriptor_limit() {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })
    {
        tracing::warn!(%error, "could not raise the limit of open descriptors");
    }
}

/// What stands between the clients and the control plane.
struct Front {
    router: Arc<RouterProcess>,
    link: Arc<RouterLink>,
    api_socket: UnixListener,
    rendezvous_socket: UnixListener,
}

impl Front {
    /// Fails where the port is somebody else's.
    async fn open(
        args: &ServeArgs,
        paths: &Paths,
        instance: &Instance,
        runtime: &LinuxRuntime,
    ) -> Result<Self, StartError> {
        let ca = certificate_authority::prepare(&paths.ca(), &args.domain, SystemClock.now())?;
        let router = Arc::new(RouterProcess {
            program: router_process::program_id()?,
            paths: paths.clone(),
            instance: instance.clone(),
        });
        router.prepare_folder(&ca.chain_pem, &ca.key_pem)?;
        let api_socket = wiring::listen_for(&paths.serve_socket(), instance.router_uid())?;
        let rendezvous_socket = wiring::listen_for(&paths.rendezvous_socket(), instance.router_uid())?;
        let link = Arc::new(RouterLink::new(paths.router_socket(), instance.letters.clone()));
        adopt_or_start(args, &link, &router, runtime).await?;
        Ok(Self { router, link, api_socket, rendezvous_socket })
    }
}

/// Makes the data directory: others may pass through it (the router and git run as users of their own), not list it.
fn prepare_data_dir(data: &Path) -> Result<Paths, StartError> {
    let failed = |error: io::Error| format!("could not use the data folder {}: {error}", data.display());
    std::fs::create_dir_all(data).map_err(failed)?;
    let data = std::fs::canonicalize(data).map_err(failed)?;
    if let Some(closed) = closed_to_others(&data).map_err(failed)? {
        let (data, closed) = (data.display(), closed.display());
        return Err(format!(
            "the data folder {data} lies below {closed}, which only its owner may enter. The router and git run as \
             users of their own and must pass. Choose another folder, such as /var/lib/paddock, or: chmod o+x {closed}"
        )
        .into());
    }
    if backup::is_unfinished(&data) {
        let data = data.display();
        return Err(format!(
            "a restore into {data} was begun and has not ended. Run it again: paddockd restore --from FILE --data {data}"
        )
        .into());
    }
    let paths = Paths::new(data);
    std::fs::set_permissions(&paths.data, PermissionsExt::from_mode(0o711))?;
    for folder in [paths.run(), paths.data.join("sources")] {
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711))?;
    }
    // What tenants wrote is nobody's but ours: neither the router's or git's, nor that of people on this machine.
    for name in ["builds", "caches", "logs", "outputs", "run/images"] {
        let folder = paths.data.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700))?;
    }
    Ok(paths)
}

/// The first folder above `data` that users other than its owner may not pass through.
pub(crate) fn closed_to_others(data: &Path) -> io::Result<Option<PathBuf>> {
    for folder in data.ancestors().skip(1) {
        if std::fs::metadata(folder)?.permissions().mode() & 0o001 == 0 {
            return Ok(Some(folder.to_owned()));
        }
    }
    Ok(None)
}

/// One server at a time for a data directory: the kernel lets go of the lock however we end.
#[expect(clippy::disallowed_methods, reason = "the kernel has no lock that waits for a while")]
pub(crate) fn take_lock(path: &Path) -> Result<std::fs::File, StartError> {
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    let until = std::time::Instant::now() + LOCK_PATIENCE;
    while rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        if std::time::Instant::now() < until {
            std::thread::sleep(LOCK_LOOK);
            continue;
        }
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let data = path.parent().unwrap_or(path).display();
        return Err(format!(
            "another server (process {}) uses the data folder {data}. Stop it with: paddockd stop --data {data}",
            holder.trim()
        )
        .into());
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Design, section 2, "Start and adoption": only when no router of this data directory answers are ports bound.
async fn adopt_or_start(
    args: &ServeArgs,
    link: &RouterLink,
    router: &RouterProcess,
    runtime: &LinuxRuntime,
) -> Result<(), StartError> {
    let mut kept = Vec::new();
    match link.adopt().await {
        Ok(hello) if hello.listeners.iter().any(|listener| listener.address == args.listen) => {
            if hello.program == router.program {
                tracing::info!("adopted the router (process {})", hello.pid);
            } else {
                upgrade(link, router, &hello).await;
            }
            return Ok(());
        }
        Ok(_) => {
            tracing::info!("the router listens elsewhere: it ends, and another starts on {}", args.listen);
            kept = link.take_listeners();
            link.stop().await?;
        }
        Err(RouterError::Away { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // The old router drains with the forwarder's sockets still open: they are used again, not bound again.
    kept.retain(|(listener, _)| listener.kind != ListenerKind::Public);
    link.keep_listeners(router_process::bind(args.listen, runtime.bridge_address(), kept)?);
    let hello = link.start(router).await?;
    tracing::info!("started the router (process {})", hello.pid);
    Ok(())
}

/// Puts a router of this build in the place of another one's. Where that fails the old one goes on: an upgrade of
/// `serve` is no reason to refuse requests.
async fn upgrade(link: &RouterLink, router: &RouterProcess, old: &RouterHello) {
    match link.replace(router).await {
        Ok(new) => tracing::info!(
            "the router (process {}) takes over from process {}, which runs {}",
            new.pid,
            old.pid,
            old.program
        ),
        Err(error) => tracing::error!(
            error = chain(&error),
            "could not replace the router: process {} goes on with {}",
            old.pid,
            old.program
        ),
    }
}

/// Everything that runs until the end. A task that ends by itself, by a panic or otherwise, ends the server: whoever
/// watches over it starts it anew, rather than that, say, dynos are never looked after again.
struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    broken: Arc<AtomicBool>,
}

impl Tasks {
    fn new() -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), broken: Arc::default() }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, broken) = (self.stop.clone(), self.broken.clone());
        self.tracker.spawn(async move {
            let ended = tokio::spawn(task).await;
            if !stop.is_cancelled() {
                let error = ended.err().map(|error| error.to_string());
                tracing::error!(error, "the task {name} has ended by itself: the server ends");
                broken.store(true, Ordering::Relaxed);
                stop.cancel();
            }
        });
    }
}

/// Reconcilers, jobs, pushes. Order does not matter: each looks for itself.
fn start_tasks(
    control: &Arc<Control>,
    link: &Arc<RouterLink>,
    router: Arc<RouterProcess>,
    proxy_form: &Arc<ProxyForm>,
    paths: &Paths,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let stop = &tasks.stop;
    let certificates = CertificateReconciler {
        control: control.clone(),
        router: router.clone(),
        proxy_form: proxy_form.clone(),
        paths: paths.clone(),
    };
    let upkeep = RouterUpkeep { starter: router, link: link.clone(), folder: paths.router() };
    let mut reconcilers = control.reconcilers(Some(upkeep));
    reconcilers.push(Task::new(control.kernel.clone(), certificates));
    for reconciler in reconcilers {
        tasks.spawn(reconciler.name, reconciler.run(stop.clone()));
    }
    tasks.spawn("changes", wiring::pass_on_changes(control.clone(), stop.clone()));
    let hooks = control.repositories().listen()?;
    tasks.spawn("pushes", push::receive_pushes(control.deploy.clone(), hooks, stop.clone()));
    let (runner, owner, token) = (control.clone(), uuid::Uuid::new_v4().to_string(), stop.clone());
    tasks.spawn("jobs", async move {
        if let Err(error) = runner.run_jobs(owner, token).await {
            tracing::error!(error = chain(&error), "jobs are not run");
        }
    });
    Ok(())
}

fn start_listeners(
    control: &Arc<Control>,
    api_socket: UnixListener,
    rendezvous_socket: UnixListener,
    tasks: &Tasks,
) {
    let api = Arc::new(Api::new(control.clone()));
    tasks.spawn("api", paddock_api::serve(api_socket, api.clone(), tasks.stop.clone()));
    let sessions = paddock_api::serve_rendezvous(rendezvous_socket, api, tasks.stop.clone());
    tasks.spawn("rendezvous", sessions);
}

fn announce(args: &ServeArgs, paths: &Paths) {
    let data = paths.data.display();
    let port = args.listen.port();
    let text = format!(
        "Paddock is ready on http://{} (apps answer at NAME.{}:{port}).\n\
         Point the Heroku CLI at it with: eval \"$(paddockd env --data {data})\"\n",
        args.listen, args.domain
    );
    // A terminal that is gone is no reason to end.
    let _ = io::stdout().write_all(text.as_bytes());
    tracing::info!("ready on {}", args.listen);
    notify::ready();
}

async fn wait_for_end(stop: &CancellationToken) -> io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let _hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        () = stop.cancelled() => {}
    }
    notify::stopping();
    tracing::info!("ending; dynos and the router go on unless they were asked to stop");
    stop.cancel();
    Ok(())
}

/// Dynos, router, and everything that was made in the kernel.
async fn end_everything(
    control: &Control,
    link: &RouterLink,
    runtime: &LinuxRuntime,
) -> Result<(), StartError> {
    control.dynos.stop_all_dynos().await?;
    if let Err(error) = link.stop().await {
        tracing::debug!(%error, "the router was gone already");
    }
    runtime.destroy_instance().await?;
    Ok(())
}

/// `paddockd stop --stop-dynos` where no server runs: what a killed server left is ended all the same.
pub(crate) fn end_without_server(paths: &Paths) -> Result<(), StartError> {
    let _lock = take_lock(&paths.serve_lock())?;
    let instance = Instance::of(&paths.data);
    let program: PathBuf = std::env::current_exe()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let link = RouterLink::new(paths.router_socket(), instance.letters.clone());
        // Also where none takes clients: one may still finish with its last.
        let adopted = link.adopt().await;
        let stopped = link.stop().await;
        if adopted.is_ok() {
            stopped?;
        }
        let containers = wiring::open_bare_runtime(paths, &instance, &program).await?;
        containers.destroy_instance().await?;
        Ok(())
    })
}
