//! What a container leaves on disk, one folder each: the shim and the runtime know each other by it.
//!
//! * `spec.json`: what to run, without its environment (values may be secrets).
//! * `state.json`: the shim that watches over it, its pid 1, and since when.
//! * `exit.json`: how it ended; written after all output is in the spool.
//! * `shim.sock`, `shim.log`, `spool/`; `disk/` where the writable layer has no limit; `texts/` for files of given text.
//!
//! The folder appears whole under its name, and each file is replaced whole.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use paddock_core::UnixMicros;
use paddock_core::artefact::ProgramUser;
use paddock_files::Beside;
use paddock_runtime::Root;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Contents of `spec.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SpecRecord {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) hostname: String,
    pub(crate) id_base: u32,
    /// Folders of earlier builds do not have it: every container lay on a stack.
    #[serde(default)]
    pub(crate) root: RootRecord,
    pub(crate) layers: Vec<LayerRecord>,
    pub(crate) mounts: Vec<MountRecord>,
    /// Folders of earlier builds do not have it: every program ran as the same.
    #[serde(default)]
    pub(crate) user: UserRecord,
    #[serde(default)]
    pub(crate) image_user: String,
    pub(crate) command: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) limits: LimitsRecord,
    /// Read by the shim alone, which is of the build that wrote it; folders of other builds have other fields.
    #[serde(default)]
    pub(crate) disk: DiskRecord,
    pub(crate) network: Option<NetworkRecord>,
    pub(crate) stdio: StdioRecord,
    pub(crate) time_limit_ms: Option<u64>,
    #[serde(default)]
    pub(crate) leftover_grace_ms: u64,
    pub(crate) created_at: i64,
}

/// What the root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RootRecord {
    #[default]
    Stack,
    Image,
    Build,
}

impl From<Root> for RootRecord {
    fn from(root: Root) -> Self {
        match root {
            Root::Stack => Self::Stack,
            Root::Image => Self::Image,
            Root::Build => Self::Build,
        }
    }
}

/// A layer: a folder or mount point of the host to clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) folder: PathBuf,
    pub(crate) host_usr: bool,
}

/// A folder or file of the host made visible inside, its owners as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountRecord {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// Who the program runs as, inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Default for UserRecord {
    fn default() -> Self {
        ProgramUser::DYNO.into()
    }
}

impl From<ProgramUser> for UserRecord {
    fn from(user: ProgramUser) -> Self {
        let ProgramUser { uid, gid } = user;
        Self { uid, gid }
    }
}

impl UserRecord {
    /// User and group as the host numbers them, in a range that begins here.
    pub(crate) fn on_host(self, id_base: u32) -> (u32, u32) {
        (id_base + self.uid, id_base + self.gid)
    }
}

impl SpecRecord {
    /// User and group of the program, as the host numbers them.
    pub(crate) fn owner(&self) -> (u32, u32) {
        self.user.on_host(self.id_base)
    }
}

/// Where the container writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum DiskRecord {
    /// A folder of the container's own, without a limit.
    #[default]
    Unlimited,
    /// A copy of an empty file system.
    Image {
        template: PathBuf,
        limit_bytes: u64,
        /// How often it is looked at. Folders of earlier builds do not have it.
        #[serde(default = "disk_interval")]
        interval: Duration,
    },
    /// A folder of a volume.
    Folder { folder: PathBuf },
}

const fn disk_interval() -> Duration {
    crate::disk::DISK_INTERVAL
}

/// Limits of the container's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitsRecord {
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_millicores: u32,
    pub(crate) cpu_weight: u32,
    pub(crate) pids: u32,
}

impl From<paddock_runtime::Limits> for LimitsRecord {
    fn from(limits: paddock_runtime::Limits) -> Self {
        let paddock_runtime::Limits { memory_bytes, cpu_millicores, cpu_weight, pids } = limits;
        Self { memory_bytes, cpu_millicores, cpu_weight, pids }
    }
}

impl From<LimitsRecord> for paddock_runtime::Limits {
    fn from(limits: LimitsRecord) -> Self {
        let LimitsRecord { memory_bytes, cpu_millicores, cpu_weight, pids } = limits;
        Self { memory_bytes, cpu_millicores, cpu_weight, pids }
    }
}

/// The container's place on the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    pub(crate) address: Ipv4Addr,
    pub(crate) netmask: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) bridge: String,
    /// Name of the host's end of the pair.
    pub(crate) interface: String,
    /// Folders of earlier builds do not have it.
    #[serde(default)]
    pub(crate) part: PartRecord,
}

/// What a container is on the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum PartRecord {
    #[default]
    Outbound,
    Dyno {
        tenant: u32,
    },
    Service {
        service: String,
    },
}

impl NetworkRecord {
    /// The hardware address of a service, which is its container's whichever that is: neighbours that hold it in their caches
    /// find the next one.
    pub(crate) fn hardware(&self) -> Option<String> {
        let [a, b, c, d] = self.address.octets();
        matches!(self.part, PartRecord::Service { .. })
            .then(|| format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum StdioRecord {
    Output,
    Pipe,
    Terminal { rows: u16, columns: u16 },
}

impl From<paddock_runtime::Stdio> for StdioRecord {
    fn from(stdio: paddock_runtime::Stdio) -> Self {
        match stdio {
            paddock_runtime::Stdio::Output => Self::Output,
            paddock_runtime::Stdio::Pipe => Self::Pipe,
            paddock_runtime::Stdio::Terminal { rows, columns } => Self::Terminal { rows, columns },
        }
    }
}

/// Contents of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    pub(crate) shim: ProcessRecord,
    /// Pid 1 of the container; its program was executed.
    pub(crate) init: Option<ProcessRecord>,
    pub(crate) started_at: i64,
}

/// A process that cannot be mistaken for a later one with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRecord {
    pub(crate) pid: i32,
    /// Clock ticks between the machine's and the process's start.
    pub(crate) start_ticks: u64,
    /// The boot it belongs to.
    pub(crate) boot_id: String,
}

impl ProcessRecord {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, start_ticks: start_ticks(pid)?, boot_id: boot_id()? })
    }

    /// Whether it is still there (a zombie is not).
    pub(crate) fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id)
            && start_ticks(self.pid).is_ok_and(|ticks| ticks == self.start_ticks)
    }
}

fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn start_ticks(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; what follows the last one is numbers: state is field 3, start 22.
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    if matches!(fields.next(), Some("Z" | "X")) {
        return Err(io::ErrorKind::NotFound.into());
    }
    fields.nth(18).and_then(|ticks| ticks.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Contents of `exit.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    pub(crate) status: i32,
    pub(crate) out_of_memory: bool,
    pub(crate) killed_after_grace: bool,
    pub(crate) at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn spec(&self) -> io::Result<SpecRecord> {
        read(&self.0.join("spec.json"))
    }

    pub(crate) fn state(&self) -> io::Result<StateRecord> {
        read(&self.0.join("state.json"))
    }

    pub(crate) fn exit(&self) -> io::Result<ExitRecord> {
        read(&self.0.join("exit.json"))
    }

    pub(crate) fn write_spec(&self, spec: &SpecRecord) -> io::Result<()> {
        replace(&self.0.join("spec.json"), spec)
    }

    pub(crate) fn write_state(&self, state: &StateRecord) -> io::Result<()> {
        replace(&self.0.join("state.json"), state)
    }

    pub(crate) fn write_exit(&self, exit: &ExitRecord) -> io::Result<()> {
        replace(&self.0.join("exit.json"), exit)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("shim.sock")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    pub(crate) fn texts(&self) -> PathBuf {
        self.0.join("texts")
    }

    /// The file of the mount with this number.
    pub(crate) fn text(&self, mount: usize) -> PathBuf {
        self.texts().join(mount.to_string())
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// Replaces a file whole: readers see the old or the new one.
#[expect(
    clippy::disallowed_methods,
    reason = "records of the shim, and of a folder that has not its name yet"
)]
pub(crate) fn replace<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    Beside::write(path, serde_json::to_vec(value)?)?.replace()
}

/// Now, by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "what a shim records is dated by this machine")]
pub(crate) fn now() -> UnixMicros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As builds wrote it that had neither users nor names of layers and volumes.
    const EARLIER: &str = r#"{
        "id": "0192f0a1-0000-7000-8000-000000000001", "instance": "abcdef",
        "labels": {"app": "0192f0a1-0000-7000-8000-000000000002", "dyno": "web.1"},
        "hostname": "0192f0a1-0000-7000-8000-000000000003", "id_base": 70254592,
        "layers": [{"folder": "/srv/run/images/1-2-a.erofs", "host_usr": false},
                   {"folder": "/srv/stacks/host-0123456789ab", "host_usr": true}],
        "mounts": [{"source": "/srv/builds/x/plan.json", "target": "/build/plan.json", "read_only": true, "idmapped": false}],
        "command": ["bash", "-c", "x"], "working_dir": "/app",
        "limits": {"memory_bytes": 536870912, "cpu_millicores": 1000, "cpu_weight": 100, "pids": 256},
        "disk": {"kind": "folder", "folder": "/srv/run/volumes/y/build-root"},
        "network": {"address": "10.1.0.5", "netmask": "255.255.0.0", "gateway": "10.1.0.1", "bridge": "pkabcdef",
                    "interface": "pkabcdef5"},
        "stdio": {"kind": "output"}, "time_limit_ms": null, "leftover_grace_ms": 30000, "created_at": 1
    }"#;

    #[test]
    fn a_folder_of_an_earlier_build_is_read() {
        let spec: SpecRecord = serde_json::from_str(EARLIER).unwrap();
        assert_eq!(spec.layers[1].folder, Path::new("/srv/stacks/host-0123456789ab"));
        assert!(spec.mounts[0].read_only);
        assert_eq!(spec.root, RootRecord::Stack);
        assert_eq!(spec.network.as_ref().unwrap().part, PartRecord::Outbound);
        assert_eq!(spec.user, UserRecord { uid: 1000, gid: 1000 });
        assert_eq!(spec.owner(), (70_255_592, 70_255_592));
    }
}
