//! A router from its beginning to its end.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paddock_ipc::routes::{Listener, ListenerKind};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::client::accept;
use crate::config::{RouterConfig, RouterError};
use crate::connection::router::Router;
use crate::connection::stop::Stop;
use crate::connection::tls::Certificates;
use crate::control;
use crate::dns;
use crate::record;
use crate::routes::Routes;

/// How often unused connections to dynos are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long tasks may take to notice that they were broken off.
const FORCED_END: Duration = Duration::from_secs(2);

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
    let sockets = router.duplicate_listeners().map_err(failed("duplicate the listening sockets"))?;
    let control = control_socket(control).map_err(failed("use the control socket"))?;
    for (listener, socket) in sockets {
        let doing = format!("use the listening socket {}", listener.address);
        listen(&router, listener.kind, socket).map_err(failed(&doing))?;
    }
    router.listening.close();
    #[expect(clippy::disallowed_methods, reason = "it ends with the process")]
    tokio::spawn(control::accept(router.clone(), control));
    #[expect(clippy::disallowed_methods, reason = "it ends with the process")]
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
        router.stop.force();
        let _ = tokio::time::timeout(FORCED_END, router.tasks.wait()).await;
    }
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
            () = router.stop.reloading() => {
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
