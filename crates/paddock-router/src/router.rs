//! The router as a whole: what its parts share, how it begins and how it ends.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use paddock_ipc::routes::{Listener, ListenerKind};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clients::Clients;
use crate::config::{RouterConfig, RouterError};
use crate::record::{self, Records};
use crate::table::{Destination, Routes};
use crate::tls::Certificates;
use crate::{accept, control, dns};

/// How often unused connections to dynos are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long tasks may take to notice that they were broken off.
const FORCED_END: Duration = Duration::from_secs(2);

/// What the parts of a router share.
pub(crate) struct Router {
    pub(crate) config: RouterConfig,
    pub(crate) routes: Routes,
    pub(crate) records: Records,
    pub(crate) certificates: Certificates,
    /// For the proxy form: names that are not ours.
    pub(crate) proxy_certificates: Certificates,
    pub(crate) stop: Stop,
    pub(crate) clients: Arc<Clients>,
    /// Every client connection and tunnel: a stop waits for them.
    pub(crate) tasks: TaskTracker,
    /// What reads the listening sockets.
    listening: TaskTracker,
    runtime: Handle,
    /// Duplicates of the listening sockets, for `serve`; none once the router is to stop.
    listeners: Mutex<Vec<(Listener, OwnedFd)>>,
}

impl Router {
    /// Where requests of a host go. Before the first table ever only the local names are known: the others wait for
    /// it. `None` when it does not come.
    pub(crate) async fn destination(&self, host: &str) -> Option<Destination> {
        if let Some(known) = self.look_up(host) {
            return Some(known);
        }
        let mut changed = self.routes.subscribe();
        if let Some(known) = self.look_up(host) {
            return Some(known);
        }
        let _ = tokio::time::timeout(self.config.limits.serve_wait, changed.changed()).await;
        self.look_up(host)
    }

    fn look_up(&self, host: &str) -> Option<Destination> {
        let table = self.routes.current();
        match table.destination(host) {
            Destination::Unknown if !table.is_known() => None,
            destination => Some(destination),
        }
    }

    /// Reads certificates again where files changed. Blocks on the disk.
    pub(crate) fn reload_certificates(&self) {
        self.certificates.reload();
        self.proxy_certificates.reload();
    }

    /// Duplicates of the listening sockets and what each is for.
    pub(crate) fn duplicate_listeners(&self) -> std::io::Result<Vec<(Listener, OwnedFd)>> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().map(|(listener, socket)| Ok((listener.clone(), socket.try_clone()?))).collect()
    }

    /// Takes no new clients: once this returns, whoever else has the listening sockets is alone with them. Blocks.
    pub(crate) fn retire(&self) {
        self.stop.retire();
        self.close_listeners();
        self.runtime.block_on(self.listening.wait());
    }

    fn close_listeners(&self) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Tells a router to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    leave: CancellationToken,
    drain: CancellationToken,
    force: CancellationToken,
    reload: Notify,
}

impl Stop {
    /// Another router has the same sockets: no new clients here, and those that are here notice nothing. Each gets
    /// the answers it waits for, the last one with `Connection: close`; tunnels and streams go on.
    pub fn retire(&self) {
        self.0.leave.cancel();
    }

    /// No new clients; requests in flight are finished, everything else is closed.
    pub fn drain(&self) {
        self.0.leave.cancel();
        self.0.drain.cancel();
    }

    /// Reads the certificates again if they changed.
    pub fn reload_certificates(&self) {
        self.0.reload.notify_one();
    }

    /// Ready once the router takes no new clients.
    pub(crate) async fn leaving(&self) {
        self.0.leave.cancelled().await;
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.0.leave.is_cancelled()
    }

    /// Ready once the router is to stop soon.
    pub(crate) async fn draining(&self) {
        self.0.drain.cancelled().await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.drain.is_cancelled()
    }

    /// Ready once requests in flight are to be broken off.
    pub(crate) async fn forced(&self) {
        self.0.force.cancelled().await;
    }

    pub(crate) fn is_forced(&self) -> bool {
        self.0.force.is_cancelled()
    }
}

/// Runs a router on these sockets until a stop message comes over the control socket.
///
/// # Errors
/// When its folder cannot be used or a socket is not what it is said to be.
pub async fn run(
    config: RouterConfig,
    listeners: Vec<(Listener, OwnedFd)>,
    control: OwnedFd,
) -> Result<(), RouterError> {
    run_until(config, listeners, control, Stop::default()).await
}

/// [`run`], which also ends by `stop`.
///
/// # Errors
/// As [`run`].
pub async fn run_until(
    config: RouterConfig,
    listeners: Vec<(Listener, OwnedFd)>,
    control: OwnedFd,
    stop: Stop,
) -> Result<(), RouterError> {
    let folder = config.folder.clone();
    let failed = |what: &str| {
        let doing = format!("could not {what}");
        move |source| RouterError::new(doing, source)
    };
    std::fs::create_dir_all(&folder).map_err(failed(&format!("make {}", folder.display())))?;
    let (records, writer) = record::open(&folder.join("spools"), config.spool, config.limits.spool_bytes)
        .map_err(failed("open the spool of request records"))?;
    let certificates = Certificates::open(folder.join("tls"))?;
    let proxy_certificates = Certificates::open(folder.join("proxy-form"))?;
    let sockets = duplicate(&listeners).map_err(failed("duplicate the listening sockets"))?;
    let router = Arc::new(Router {
        routes: Routes::open(&folder),
        records,
        certificates,
        proxy_certificates,
        stop: stop.clone(),
        clients: Arc::default(),
        tasks: TaskTracker::new(),
        listening: TaskTracker::new(),
        runtime: Handle::current(),
        listeners: Mutex::new(listeners),
        config,
    });
    let control = control_socket(control).map_err(failed("use the control socket"))?;
    for (listener, socket) in sockets {
        let doing = format!("use the listening socket {}", listener.address);
        listen(&router, listener.kind, socket).map_err(failed(&doing))?;
    }
    router.listening.close();
    tokio::spawn(control::accept(router.clone(), control));
    tokio::spawn(maintain(router.clone()));
    tracing::info!(generation = router.routes.current().generation, "the router is up");
    stop.leaving().await;
    leave(&router).await;
    // Blocks until the last record is in the spool.
    let ended = tokio::task::spawn_blocking(move || writer.end()).await;
    tracing::info!(records = ended.is_ok(), "the router has ended");
    Ok(())
}

/// Ends with the last client. One that retires waits long for it: nobody is to notice that another took its place.
async fn leave(router: &Router) {
    tracing::info!("the router leaves: no new clients");
    router.close_listeners();
    router.tasks.close();
    tokio::select! {
        () = router.tasks.wait() => return,
        () = router.stop.draining() => {}
        () = tokio::time::sleep(router.config.limits.retire) => router.stop.drain(),
    }
    if tokio::time::timeout(router.config.limits.drain, router.tasks.wait()).await.is_err() {
        tracing::warn!(connections = router.tasks.len(), "connections did not end in time and are closed");
        router.stop.0.force.cancel();
        let _ = tokio::time::timeout(FORCED_END, router.tasks.wait()).await;
    }
}

fn duplicate(listeners: &[(Listener, OwnedFd)]) -> std::io::Result<Vec<(Listener, OwnedFd)>> {
    listeners.iter().map(|(listener, socket)| Ok((listener.clone(), socket.try_clone()?))).collect()
}

fn listen(router: &Arc<Router>, kind: ListenerKind, socket: OwnedFd) -> std::io::Result<()> {
    match kind {
        ListenerKind::Public => {
            router.listening.spawn(accept::accept(router.clone(), tcp(socket)?));
        }
        ListenerKind::DnsTcp => {
            router.listening.spawn(dns::serve_tcp(router.clone(), tcp(socket)?));
        }
        ListenerKind::DnsUdp => {
            let socket = UdpSocket::from(socket);
            socket.set_nonblocking(true)?;
            router.listening.spawn(dns::serve_udp(router.clone(), tokio::net::UdpSocket::from_std(socket)?));
        }
    }
    Ok(())
}

fn tcp(socket: OwnedFd) -> std::io::Result<tokio::net::TcpListener> {
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

fn control_socket(socket: OwnedFd) -> std::io::Result<tokio::net::UnixListener> {
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

/// Closes connections to dynos that came of age, and reads certificates again when asked to.
async fn maintain(router: Arc<Router>) {
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            () = router.stop.draining() => return,
            () = router.stop.0.reload.notified() => {
                let router = router.clone();
                // Reads files: not on a thread that serves requests.
                tokio::task::spawn_blocking(move || router.reload_certificates());
            }
            _ = sweep.tick() => {
                for dyno in router.routes.current().dynos() {
                    dyno.close_aged(&router.config.limits);
                }
            }
        }
    }
}
