//! The port for running processes in containers: what the control plane and builds need, in their words.
//!
//! A container runs one dyno, one build step or one conversion. It is named by a [`ContainerId`] chosen by the
//! caller *before* the start, so every call can be repeated after a crash: starting what runs is a no-op, stopping
//! or removing what is gone succeeds. So it is with volumes: disks that outlive the containers which write to them.
//! Backends: `paddock-runtime-linux`; a fake in [`fake`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use paddock_core::{ContainerId, UnixMicros, VolumeId};
use tokio::sync::mpsc;

#[cfg(feature = "contract")]
pub mod contract;
pub mod fake;

/// What to run and how it is kept apart. No `Default`: every choice is made by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Chosen by the caller; the name of the container in every later call.
    pub id: ContainerId,
    /// What the container is for; returned by [`Runtime::observe`], never interpreted by a backend.
    pub labels: BTreeMap<String, String>,
    /// Host name inside.
    pub hostname: String,
    /// First of the 65,536 host ids that the container's ids 0..65,535 map to. One range per app.
    pub id_base: u32,
    /// Read-only layers, the uppermost first. At least one of them gives the root its shape.
    pub layers: Vec<Layer>,
    /// Host folders made visible inside.
    pub mounts: Vec<Mount>,
    /// Program and arguments; the program is looked up in `PATH` of `env`.
    pub command: Vec<String>,
    /// The whole environment; nothing is inherited. Values may be secrets: they are never arguments of a program.
    pub env: Vec<(String, Vec<u8>)>,
    /// Working directory.
    pub working_dir: String,
    /// Limits of the container's cgroup.
    pub limits: Limits,
    /// Where it writes.
    pub disk: Disk,
    /// What it may reach.
    pub network: Network,
    /// Standard input and the kind of output.
    pub stdio: Stdio,
    /// The longest life, after which it is stopped like by [`Runtime::stop`]; `None` for no limit.
    pub time_limit: Option<Duration>,
    /// How long processes that outlive the program have from SIGTERM to SIGKILL, if no stop was asked for.
    pub leftover_grace: Duration,
}

/// One read-only layer of a root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// A mountable file made by our converter (EROFS), or an unpacked folder where files cannot be mounted.
    Image(PathBuf),
    /// The host's own `/usr` over a generated base folder (the `host` stack): the folder, which holds the rest.
    HostStack(PathBuf),
}

/// A host folder made visible inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Folder or file on the host. Files in it carry container ids 0..65,535 shifted by `id_base`, unless `idmapped`.
    pub source: PathBuf,
    /// Absolute path inside; made if it is missing.
    pub target: String,
    /// Whether it can be written.
    pub access: Access,
    /// Whether owners are shifted by the mount (files carry plain ids, as in a layer) or already by `id_base`.
    pub owners: Owners,
}

/// Whether a mount can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// How the owners of files in a mount are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Files carry plain container ids (0, 1000): the mount shifts them.
    Plain,
    /// Files already carry host ids of the container's range.
    Shifted,
}

/// Limits of a container's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes (swap is not added).
    pub memory_bytes: u64,
    /// CPU time per second of wall time, in thousandths of a core.
    pub cpu_millicores: u32,
    /// Share of CPU under contention, as a cgroup v2 weight (1 to 10,000; 100 is ordinary).
    pub cpu_weight: u32,
    /// Processes and threads.
    pub pids: u32,
}

/// Where a container writes what is on none of its mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// A disk of its own that ends with it, as large as the machine's.
    Unlimited,
    /// A disk of its own that ends with it, of so many bytes: beyond, a write fails with ENOSPC.
    Limited(u64),
    /// A folder of a volume, made if it is missing: it shares the volume's limit and outlives the container. No other
    /// container has the same.
    Folder(PathBuf),
}

/// What a container may reach. Design, section 7, "Dyno and build network".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Nothing but its own loopback.
    None,
    /// DNS by our forwarder, the router's public ports, the outside minus private ranges.
    Outbound,
}

/// Standard streams of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Input is empty; output and errors are lines for [`Runtime::output`].
    Output,
    /// Input is a pipe that [`Runtime::attach`] writes; output and errors are raw bytes for the attached client.
    Pipe,
    /// A terminal for [`Runtime::attach`].
    Terminal {
        /// Rows of characters.
        rows: u16,
        /// Columns of characters.
        columns: u16,
    },
}

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
    pub address: Option<std::net::IpAddr>,
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

/// A program beside the container's own, for consoles into a running dyno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, Vec<u8>)>,
    /// Working directory.
    pub working_dir: String,
    /// `Pipe` or `Terminal`.
    pub stdio: Stdio,
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

    /// Makes an empty volume and returns its folder, which belongs to the host's root: the caller puts folders into it,
    /// mounts them into containers, and reads there when those have ended. Whatever lies in it takes `limit_bytes` of
    /// the machine's disk at most: beyond, a write fails with ENOSPC. One that is there already is left as it is.
    async fn make_volume(&self, id: VolumeId, limit_bytes: u64) -> Result<PathBuf, RuntimeError>;

    /// Whether next to nothing more fits into a volume; false for one that is gone.
    async fn volume_is_full(&self, id: VolumeId) -> Result<bool, RuntimeError>;

    /// Removes a volume with everything in it. The containers that had parts of it are removed before.
    async fn remove_volume(&self, id: VolumeId) -> Result<(), RuntimeError>;

    /// Brings network rules, addresses and forwarding back to what they must be; safe to call at any time.
    async fn reconcile_network(&self) -> Result<(), RuntimeError>;
}
