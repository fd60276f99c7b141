//! What to run, by names that every backend has a meaning for: no path of a host, no user id of a host.

use std::collections::BTreeMap;
use std::time::Duration;

use paddock_core::artefact::{Artefact, ProgramUser};
use paddock_core::stack::{StackBase, StackVersion};
use paddock_core::{ContainerId, LayerDigest, ServiceId, Tenant, VolumeId};

/// What to run and how it is kept apart. No `Default`: every choice is made by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Chosen by the caller; the name of the container in every later call.
    pub id: ContainerId,
    /// What the container is for; returned by [`crate::Runtime::observe`], never interpreted by a backend.
    pub labels: BTreeMap<String, String>,
    /// Host name inside: 1 to 64 letters, digits, `-`, `.`, `_`.
    pub hostname: String,
    /// Whom it works for. Containers of one tenant may have the same files; those of two have no user of the host in
    /// common, as far as the backend has enough of them.
    pub tenant: Tenant,
    /// What the root file system is, made of the layers.
    pub root: Root,
    /// Read-only layers, the uppermost first: at most [`LAYERS_MAX`], and none only for [`Root::Build`].
    pub layers: Vec<Layer>,
    /// What else is visible inside. A later one may lie within an earlier one.
    pub mounts: Vec<Mount>,
    /// Program and arguments; the program is looked up in `PATH` of `env`.
    pub command: Vec<String>,
    /// Who the program runs as, without any capability. Root is for [`Root::Build`] alone, and has there the capabilities that
    /// installing things takes. What it is given to write belongs to this user; with [`Root::Stack`] so does `/app`.
    pub user: ProgramUser,
    /// With [`Root::Image`], who the image has its programs run as: `name` or `number`, with `:group` or not, by its own
    /// `/etc/passwd` and `/etc/group`. Another than root is who runs, and files are whose the layers say. For root, for nothing,
    /// and for a name that the image does not know, `user` runs: then what is root's in the layers is `user`'s, and what is
    /// `user`'s is root's. Nothing runs as root in any case. Without meaning for other roots.
    pub image_user: String,
    /// The whole environment; nothing is inherited. Values may be secrets: they are never arguments of a program, and
    /// never on a disk. With [`Root::Image`] and without `HOME` the home of who runs is added, which the image has in
    /// `/etc/passwd`, or `/`.
    pub env: Vec<(String, Vec<u8>)>,
    /// Working directory, an absolute path. Where it is missing it is made and is the user's, but with [`Root::Stack`].
    pub working_dir: String,
    /// Limits of the container's cgroup.
    pub limits: Limits,
    /// Where it writes.
    pub disk: Disk,
    /// What it may reach.
    pub network: Network,
    /// Standard input and the kind of output.
    pub stdio: Stdio,
    /// The longest life, after which it is stopped like by [`crate::Runtime::stop`]; `None` for no limit.
    pub time_limit: Option<Duration>,
    /// How long processes that outlive the program have from SIGTERM to SIGKILL, if no stop was asked for.
    pub leftover_grace: Duration,
}

/// User ids inside are below this.
const IDS: u32 = 65_536;

impl ContainerSpec {
    /// Why no backend runs this, in a sentence; `None` for what a backend may try.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let (ProgramUser { uid, gid }, layers) = (self.user, self.layers.len());
        if uid >= IDS || gid >= IDS {
            return Some(format!("nothing runs as user {uid} of group {gid}: ids are below {IDS}"));
        }
        if uid == 0 && self.root != Root::Build {
            return Some("nothing runs as root but what makes a layer of an image".to_owned());
        }
        if layers == 0 && self.root != Root::Build {
            return Some("there is no layer".to_owned());
        }
        if layers > LAYERS_MAX {
            return Some(format!("there are {layers} layers, and a container has {LAYERS_MAX} at most"));
        }
        None
    }
}

/// The most layers that a container has.
pub const LAYERS_MAX: usize = 125;

/// What a container's root file system is. What is written to it lies on its [`Disk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// A stack with what is laid on it: `/app` is the user's, `/tmp` and `/var/tmp` are everybody's, the container's names
    /// are in `/etc`. What layers have in the place of these is hidden.
    Stack,
    /// What the layers say, whoever made them. Of the platform's are `/dev`, `/proc`, `/sys`, and the files `hosts`,
    /// `hostname` and `resolv.conf` of `/etc`, which can be read only; so can `passwd` and `group`, if whoever runs had to be
    /// added there ([`ContainerSpec::image_user`]). `/tmp` is everybody's where the layers have none. A
    /// link or file that a layer has in the place of these folders is hidden and leads nowhere.
    Image,
    /// The same, for what makes a layer. With [`Disk::Volume`] the folder has a folder `upper` when the container has ended:
    /// each file that was written or changed in the root, whole; a character device 0:0 for what was removed; the attribute
    /// `user.overlay.opaque` (`y`) on a folder that hides the one below it. Later containers of the tenant may mount it.
    /// The platform's own mount points are not in it, unless a layer had something else in their place.
    Build,
}

/// One read-only layer of a root file system. Files in it carry ids as they are inside (0, 1000).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// One of the layer store.
    Stored(LayerDigest),
    /// The base of the `host` stack, whose `/usr` can only be read; of the present version, where the named one is not kept
    /// any more.
    Stack(StackVersion),
}

impl Layer {
    /// The layers of what a release runs, the uppermost first.
    #[must_use]
    pub fn of(artefact: &Artefact) -> Vec<Self> {
        let stored = artefact.layers.iter().cloned().map(Self::Stored);
        stored.chain(artefact.base.clone().map(Self::Stack)).collect()
    }

    /// The layers that something is laid upon, the uppermost first.
    #[must_use]
    pub fn of_stack(base: &StackBase) -> Vec<Self> {
        match base {
            StackBase::Host(version) => vec![Self::Stack(version.clone())],
            StackBase::Layers(layers) => layers.iter().cloned().map(Self::Stored).collect(),
        }
    }
}

/// Something that is visible inside a container besides its layers and its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path inside, without `..`; made if it is missing and what it lies in can be written. No link of a layer
    /// leads it out of the container.
    pub target: String,
    /// What is there.
    pub source: MountSource,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A folder or file of a volume, from the volume's root on: names between slashes, none of which is a link. What one
    /// container of a tenant has written there, the next one finds with its owners. Who may write to a folder has ended before a
    /// folder below it is mounted.
    Volume {
        /// The volume.
        id: VolumeId,
        /// The folder or file. With [`Access::ReadWrite`] it is a folder where nothing is there, made for the container's user.
        folder: String,
        /// Whether it can be written.
        access: Access,
    },
    /// A file or folder of a share, to be read: names between slashes, none for the whole share. Only what everybody on the
    /// host may read can be read inside, and what containers of the same tenant wrote.
    Share {
        /// The share.
        share: Share,
        /// What of it.
        path: String,
    },
    /// A file with this text, to be read by everybody inside. It lies on a disk as long as the container is there: no
    /// secret.
    Text(String),
    /// The platform's own program, `paddockd`, to be read and executed by everybody inside.
    Program,
}

/// A folder that the server and containers both see, by a name that server and backend agree on when they are put
/// together: on one machine a folder of the host, elsewhere a disk that machines share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(pub &'static str);

/// Whether a mount can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
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
    Volume {
        /// The volume.
        id: VolumeId,
        /// The folder, as in [`MountSource::Volume`].
        folder: String,
    },
}

/// What becomes of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeKind {
    /// For work that can be done again: when the machine starts anew it is gone, and what was written to it need never have
    /// come to a disk.
    Scratch {
        /// What lies in it takes so much of the machine's disk at most: beyond, a write fails with ENOSPC. `None` is as much
        /// as the machine has.
        limit_bytes: Option<u64>,
    },
    /// Stays until it is removed, whatever becomes of server and machine; what a program inside has synced is on disk.
    Lasting {
        /// The same limit, by backends that can hold files on the machine's own file system to one.
        limit_bytes: Option<u64>,
    },
}

/// What a container may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Nothing but its own loopback.
    None,
    /// DNS by our forwarder, the router's public ports, the outside minus private ranges.
    Outbound,
    /// The same, and the services that its tenant may reach by [`crate::Runtime::set_reach`].
    Dyno,
    /// Nothing, nor a name: it answers, at the address of this service ([`crate::Runtime::address_of`]), those who may reach it
    /// and the server. A service has one container at a time: the one before is removed first.
    Service(ServiceId),
}

/// That the dynos of a tenant may connect to a port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reach {
    /// Whose containers, of those with [`Network::Dyno`].
    pub tenant: Tenant,
    /// To what.
    pub service: ServiceId,
    /// The TCP port.
    pub port: u16,
}

/// Standard streams of a program. They belong to its user, who may open them anew by their names in `/dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Input is empty; output and errors are lines for [`crate::Runtime::output`].
    Output,
    /// Input is a pipe that [`crate::Runtime::attach`] writes; output and errors are raw bytes for the attached client.
    Pipe,
    /// A terminal for [`crate::Runtime::attach`].
    Terminal {
        /// Rows of characters.
        rows: u16,
        /// Columns of characters.
        columns: u16,
    },
}

/// A program beside the container's own, for consoles into a running dyno. It runs as the container's user.
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
