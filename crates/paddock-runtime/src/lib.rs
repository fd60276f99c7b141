//! The port for running processes in containers: what the control plane and builds need, in their words.
//!
//! A container runs one dyno, one build step or one conversion. It is named by a [`ContainerId`] chosen by the
//! caller *before* the start, so every call can be repeated after a crash: starting what runs is a no-op, stopping
//! or removing what is gone succeeds. So it is with volumes: disks that outlive the containers which write to them.
//!
//! What a container is made of is named, too ([`Layer`], [`MountSource`], [`Disk`]): where layers and volumes lie and which
//! users of a host a tenant has is the backend's matter. Two things are local: [`LocalVolumes`], for a server that works on
//! the files of volumes itself, and [`Share`], what it shows containers of its own files.
//! Backends: `paddock-runtime-linux`; a fake in [`fake`].
#![warn(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use paddock_core::{ContainerId, ServiceId, UnixMicros, VolumeId};
use tokio::sync::mpsc;

#[cfg(feature = "contract")]
pub mod contract;
pub mod fake;
mod spec;

pub use spec::{
    Access, ContainerSpec, Disk, ExecSpec, LAYERS_MAX, Layer, Limits, Mount, MountSource, Network, Reach,
    Root, Share, Stdio, VolumeKind,
};

/// A container as the backend sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its id.
    pub id: ContainerId,
    /// The labels it was started with.
    pub labels: BTreeMap<String, String>,
    /// What is known of it.
    pub state: ContainerState,
    /// When it was started.
    pub started_at: UnixMicros,
    /// Its address on the containers' network, if it has one.
    pub address: Option<IpAddr>,
}

/// What is known of a container. An absent one is surely absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// A start was begun and may be half done, or what watched over it is gone: stop and remove it.
    Unknown,
    /// Its program runs, or what that started and left behind.
    Running,
    /// Its program has ended, and so has everything that it started.
    Exited {
        /// How.
        exit: Exit,
        /// When.
        at: UnixMicros,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit status of the program, whatever became of what it started; 128 + signal number when a signal ended it.
    pub status: i32,
    /// Whether the kernel killed something in the container for memory.
    pub out_of_memory: bool,
    /// Whether a process had to be killed because it did not end in time after the SIGTERM of a stop.
    pub killed_after_grace: bool,
}

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A notice of the runtime itself, e.g. how many lines were dropped (L13).
    Notice,
}

/// A piece of output: at most one line, at most 10,000 bytes, without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Grows by one for each piece of this container, from 1.
    pub seq: u64,
    /// When it was read from the container.
    pub at: UnixMicros,
    /// Where it came from.
    pub stream: Stream,
    /// The bytes.
    pub bytes: Bytes,
    /// False for a piece that was flushed before its newline came, or was cut at 10,000 bytes.
    pub ends_line: bool,
}

/// A two-way connection to a program. Dropping it ends the connection, not the program.
#[derive(Debug)]
pub struct Attached {
    /// Bytes and events for the program.
    pub input: mpsc::Sender<Input>,
    /// Bytes from the program; ends when the program has ended and everything was read.
    pub output: mpsc::Receiver<Bytes>,
}

/// What a client sends to an attached program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Bytes for standard input or the terminal.
    Bytes(Bytes),
    /// The terminal changed its size.
    Resize {
        /// Rows of characters.
        rows: u16,
        /// Columns of characters.
        columns: u16,
    },
    /// No more input. A pipe is closed; a terminal gets nothing (the client sends its own end-of-file character).
    End,
}

/// What went wrong in a backend.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No container with this id.
    #[error("no container {0}")]
    NoSuchContainer(ContainerId),
    /// The program could not be started: not found, not executable.
    #[error("could not start {program:?}: {reason}")]
    Program {
        /// The first word of the command.
        program: String,
        /// The failing step and why, for the user.
        reason: String,
    },
    /// Something on the host failed.
    #[error("{doing}")]
    Host {
        /// What was tried, and on what.
        doing: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RuntimeError {
    /// A [`RuntimeError::Host`] from what was tried and its cause.
    pub fn host(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Host { doing: doing.into(), source: source.into() }
    }
}

/// Runs containers. Every method may be repeated with the same arguments after a crash at any point.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Starts a container; returns once its program was executed. A container with this id that exists already, in
    /// any state, is left as it is.
    async fn start(&self, spec: ContainerSpec) -> Result<(), RuntimeError>;

    /// Every container of this backend, ended ones included until they are removed.
    async fn observe(&self) -> Result<Vec<Observed>, RuntimeError>;

    /// Waits until something that [`Runtime::observe`] reports may have changed since the last call. May return
    /// without a change. The wake-up is speed, never truth: callers also poll by a timer.
    async fn changed(&self);

    /// Sends SIGTERM to every process, and SIGKILL to what is left after `grace`. Returns once the SIGTERM was sent;
    /// the end is observed. A later call with a shorter grace shortens it.
    async fn stop(&self, id: ContainerId, grace: Duration) -> Result<(), RuntimeError>;

    /// Sends SIGHUP to every process, each time it is called; what they make of it is observed.
    async fn hang_up(&self, id: ContainerId) -> Result<(), RuntimeError>;

    /// Kills what is left, waits for its end and forgets the container with its output, acknowledged or not.
    async fn remove(&self, id: ContainerId) -> Result<(), RuntimeError>;

    /// The output after `after`, oldest first, then live; ends when the container has ended and everything was
    /// sent. What was acknowledged is not sent again.
    async fn output(&self, id: ContainerId, after: u64) -> Result<mpsc::Receiver<Output>, RuntimeError>;

    /// Allows the backend to forget output up to and including `seq`.
    async fn ack(&self, id: ContainerId, seq: u64) -> Result<(), RuntimeError>;

    /// Connects to the program of a container that was started with `Pipe` or `Terminal`. A second client takes
    /// over from the first.
    async fn attach(&self, id: ContainerId) -> Result<Attached, RuntimeError>;

    /// Runs another program inside a running container.
    async fn exec(&self, id: ContainerId, spec: ExecSpec) -> Result<Attached, RuntimeError>;

    /// The TCP ports that processes inside listen on, with the address each is bound to.
    async fn listening(&self, id: ContainerId) -> Result<Vec<std::net::SocketAddr>, RuntimeError>;

    /// Makes an empty volume, whose folders containers mount. One that is there already, of whichever kind, is left as it is.
    async fn make_volume(&self, id: VolumeId, kind: VolumeKind) -> Result<(), RuntimeError>;

    /// Whether next to nothing more fits into a volume; false for one that is gone, or has no limit.
    async fn volume_is_full(&self, id: VolumeId) -> Result<bool, RuntimeError>;

    /// Removes a volume with everything in it, whatever its kind. The containers that had parts of it are removed before.
    async fn remove_volume(&self, id: VolumeId) -> Result<(), RuntimeError>;

    /// The address that a service has, or is given now. It has it until it is released, whatever becomes of containers, server
    /// and machine, and nobody else is given it meanwhile: that is on disk before it is answered.
    async fn address_of(&self, service: ServiceId) -> Result<IpAddr, RuntimeError>;

    /// Takes the address of a service back; one that has none has none already. Its container is removed before.
    async fn release_address(&self, service: ServiceId) -> Result<(), RuntimeError>;

    /// Who may reach which service, whole: in place of what was said before, which holds until then, over a start of the
    /// server, too. Whoever may before and after is not cut off meanwhile. It is so for containers that run, and for those that
    /// start later before their program runs.
    async fn set_reach(&self, reach: BTreeSet<Reach>) -> Result<(), RuntimeError>;

    /// Where the server's own connections to services come from.
    fn platform_address(&self) -> IpAddr;

    /// Brings network rules, addresses and forwarding back to what they must be; safe to call at any time.
    async fn reconcile_network(&self) -> Result<(), RuntimeError>;
}

/// Volumes whose files the server works on itself. A backend whose volumes are on other machines does not have this: what
/// is done here by the server is done there in containers.
pub trait LocalVolumes: Send + Sync {
    /// The root of a volume that was made and not removed. It belongs to the host's root; what is below what a container
    /// could write is a tenant's, and may be links to anywhere.
    fn folder_of(&self, id: VolumeId) -> PathBuf;
}
