//! The process `paddockd router`: how it gets its sockets and what it gives up before it begins.
//!
//! Standard input is one end of a Unix stream socket pair. On it `serve` sends one [`RouterStart`] with the
//! descriptors beside it: first the listening control socket, then one for each of `listeners`. So no descriptor is
//! inherited by accident and none has to be conjured up from a number.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use paddock_ipc::frame;
use paddock_ipc::routes::Listener;
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::config::{RouterConfig, RouterError};
use crate::connection::stop::Stop;
use crate::limits::Limits;
use crate::process::log_file::LogFile;
use crate::process::privileges::{PrivilegeKept, RunAs, give_up};
use crate::run::run_until;

/// What `serve` tells a router it starts. The descriptors beside it: the control socket, then the listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStart {
    /// The router's only folder, `DIR/router`; it must belong to `uid`.
    pub folder: PathBuf,
    /// `DIR/run/serve.sock`; `uid` must be able to connect to it.
    pub serve_socket: PathBuf,
    /// `DIR/run/rendezvous.sock`; `uid` must be able to connect to it.
    pub rendezvous_socket: PathBuf,
    /// The instance (six letters).
    pub instance: String,
    /// Which program it is, as its hello says.
    pub program: String,
    /// The name of its spool, not used before (the text form of a UUID).
    pub spool: String,
    /// The user and group the router becomes; `None` leaves it as it is (an unprivileged `serve`).
    pub run_as: Option<RunAs>,
    /// Threads that serve requests; 0 for one per core.
    pub workers: usize,
    /// The listening sockets beside this message, after the control socket.
    pub listeners: Vec<Listener>,
}

impl RouterStart {
    /// Sends this to a router over the other end of its standard input.
    ///
    /// # Errors
    /// As the socket has them, or when there are more sockets than one message carries.
    pub fn send(
        &self,
        socket: BorrowedFd<'_>,
        control: BorrowedFd<'_>,
        listeners: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut descriptors = vec![control];
        descriptors.extend_from_slice(listeners);
        frame::send(socket, self, &descriptors)
    }
}

/// Why the process `paddockd router` ended.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// Standard input is not the socket that `serve` makes, or what it sent is not a start message.
    #[error(
        "could not read the start message from standard input (the router is started by `paddockd serve`)"
    )]
    Message(#[source] io::Error),
    #[error("the start message names no spool")]
    Spool(#[source] uuid::Error),
    /// Fewer descriptors came than the message names.
    #[error("the start message names {expected} sockets and {received} came with it")]
    Sockets {
        /// Control socket and listeners.
        expected: usize,
        /// What came.
        received: usize,
    },
    /// A privilege could not be given up; the router never runs with it.
    #[error(transparent)]
    Privileges(PrivilegeKept),
    #[error("the router could not run")]
    Router(#[source] RouterError),
}

/// The process `paddockd router`: reads the start message, gives up privileges, serves until SIGTERM or a stop
/// message. Must be called before any thread exists, because privileges belong to threads.
#[must_use]
pub fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    let mut causes = format!("the router did not start: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        causes.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    // Its own log may not be open yet, so whoever started it is told; and if that one is gone, nobody can be.
    let _ = writeln!(io::stderr(), "{causes}");
    ExitCode::FAILURE
}

fn run() -> Result<(), StartError> {
    let (start, control, sockets) = receive_start(io::stdin().as_fd())?;
    let spool = Uuid::try_parse(&start.spool).map_err(StartError::Spool)?;
    // Ctrl-C and hang-ups of the terminal that started `serve` are not ours. Already a leader: nothing to do.
    let _ = rustix::process::setsid();
    let descriptors = raise_descriptor_limit();
    if let Some(run_as) = start.run_as {
        give_up(run_as).map_err(StartError::Privileges)?;
    }
    log_to(&start.folder.join("router.log")).map_err(StartError::Router)?;
    let failed = |doing: &str, source| StartError::Router(RouterError::new(doing, source));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if start.workers > 0 {
        builder.worker_threads(start.workers);
    }
    let runtime = builder.enable_all().build().map_err(|source| failed("could not start threads", source))?;
    let listeners = start.listeners.into_iter().zip(sockets).collect();
    let config = RouterConfig {
        folder: start.folder,
        serve_socket: start.serve_socket,
        rendezvous_socket: start.rendezvous_socket,
        instance: start.instance,
        program: start.program,
        spool,
        limits: Limits::heroku().within_descriptors(descriptors),
    };
    let result = runtime.block_on(async {
        let stop = Stop::default();
        follow_signals(&stop).map_err(|source| RouterError::new("could not listen for signals", source))?;
        run_until(config, listeners, control, stop).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result.map_err(StartError::Router)
}

fn receive_start(stdin: BorrowedFd<'_>) -> Result<(RouterStart, OwnedFd, Vec<OwnedFd>), StartError> {
    let ended = || StartError::Message(io::ErrorKind::UnexpectedEof.into());
    let (start, mut descriptors) =
        frame::receive::<RouterStart>(stdin).map_err(StartError::Message)?.ok_or_else(ended)?;
    let expected = 1 + start.listeners.len();
    if descriptors.len() != expected {
        return Err(StartError::Sockets { expected, received: descriptors.len() });
    }
    let control = descriptors.remove(0);
    Ok((start, control, descriptors))
}

/// Each client is a descriptor and each request may be a second one. How many there may be.
fn raise_descriptor_limit() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "could not raise the limit of open descriptors");
        return number(limit.current);
    }
    number(limit.maximum)
}

/// No limit is many.
fn number(limit: Option<u64>) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

fn log_to(path: &Path) -> Result<(), RouterError> {
    let failed = |source| RouterError::new(format!("could not open {}", path.display()), source);
    let file = LogFile::open(path).map_err(failed)?;
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(Mutex::new(file))
        .finish();
    // Somebody who set one before us (a test) keeps it.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// SIGTERM and SIGINT drain; SIGHUP reads the certificates again.
fn follow_signals(stop: &Stop) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let stop = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with the process")]
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => stop.drain(),
                _ = interrupt.recv() => stop.drain(),
                _ = hang_up.recv() => stop.reload_certificates(),
            }
        }
    });
    Ok(())
}
