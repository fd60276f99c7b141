//! The control socket: `serve` adopts this router, gives it tables, and acknowledges records.
//!
//! A connection has a thread of its own, because messages are read and tables are kept by blocking calls.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use paddock_ipc::frame;
use paddock_ipc::routes::{FromRouter, Listener, ToRouter};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::connection::router::Router;
use crate::routes::{Keeper, NotTaken};

/// One `serve`, the one that takes over from it, and a few who look.
const CONNECTIONS_MAX: usize = 8;

/// Accepts `serve` until the router is told to stop.
pub(crate) async fn accept(router: Arc<Router>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = router.stop.draining() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => {
                // Usually out of descriptors.
                tracing::warn!(%error, "could not accept a control connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!("closed a control connection: there are too many");
            continue;
        };
        let router = router.clone();
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
            if let Err(error) = serve(&router, &stream) {
                tracing::warn!(%error, "a control connection broke");
            }
            drop(place);
        });
        if let Err(error) = thread {
            tracing::error!(%error, "could not start a thread for a control connection");
        }
    }
}

fn serve(router: &Router, stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    if !is_ours(stream)? {
        return answer(stream, &refused("this router belongs to another user"), Vec::new());
    }
    let mut greeted = false;
    while let Some((message, _)) = frame::receive::<ToRouter>(stream.as_fd())? {
        let (reply, sockets) = match message {
            ToRouter::Hello { version, instance } => {
                let reply = hello(router, version, &instance);
                greeted = matches!(reply, Ok((FromRouter::Hello { .. }, _)));
                reply.unwrap_or_else(|error| (refused(error.to_string()), Vec::new()))
            }
            _ if !greeted => (refused("the first message must be hello"), Vec::new()),
            message => (carry_out(router, message), Vec::new()),
        };
        answer(stream, &reply, sockets)?;
    }
    Ok(())
}

fn answer(stream: &UnixStream, reply: &FromRouter, sockets: Vec<OwnedFd>) -> io::Result<()> {
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    frame::send(stream.as_fd(), reply, &sockets)
}

/// Only root and our own user may tell us anything, whatever the folder of the socket allows.
fn is_ours(stream: &UnixStream) -> io::Result<bool> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

/// Answered to any version of `serve`, in the older one of the two: it decides whether it speaks that, or takes the
/// sockets and replaces us.
fn hello(router: &Router, version: u32, instance: &str) -> io::Result<(FromRouter, Vec<OwnedFd>)> {
    let own = &router.config.instance;
    if instance != own {
        return Ok((refused(format!("this router belongs to instance {own}, not {instance}")), Vec::new()));
    }
    if router.stop.is_draining() {
        return Ok((refused("this router is stopping"), Vec::new()));
    }
    let (listeners, sockets): (Vec<Listener>, Vec<OwnedFd>) =
        router.duplicate_listeners()?.into_iter().unzip();
    let reply = FromRouter::Hello {
        version: version.min(paddock_ipc::VERSION),
        program: router.config.program.clone(),
        instance: own.clone(),
        pid: std::process::id(),
        generation: router.routes.current().generation,
        listeners,
        spool: Some(router.config.spool.to_string()),
        retiring: router.stop.is_leaving(),
    };
    Ok((reply, sockets))
}

fn carry_out(router: &Router, message: ToRouter) -> FromRouter {
    let done = || FromRouter::Done { generation: router.routes.current().generation };
    // What is kept on disk is the other router's once we leave.
    let keeper = if router.stop.is_leaving() { Keeper::Another } else { Keeper::Us };
    match message {
        ToRouter::Routes(table) => {
            router.reload_certificates();
            taken(router.routes.install(*table, keeper))
        }
        ToRouter::App(change) => taken(router.routes.change(&change, keeper)),
        ToRouter::Ack { seq } => match router.records.ack(seq) {
            Ok(()) => done(),
            Err(error) => refused(format!("could not forget records: {error}")),
        },
        ToRouter::Retire => {
            router.retire();
            done()
        }
        ToRouter::Stop => {
            router.stop.drain();
            // Whoever hears the answer may begin on the same addresses.
            router.retire();
            done()
        }
        ToRouter::Hello { .. } => refused("hello was said already"),
    }
}

fn taken(taken: Result<u64, NotTaken>) -> FromRouter {
    match taken {
        Ok(generation) => FromRouter::Done { generation },
        Err(NotTaken::Gap { current, .. }) => FromRouter::Gap { generation: current },
        Err(error) => {
            tracing::warn!(%error, "refused routes");
            refused(error.to_string())
        }
    }
}

fn refused(reason: impl Into<String>) -> FromRouter {
    FromRouter::Refused { reason: reason.into() }
}
