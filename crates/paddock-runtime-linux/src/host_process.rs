//! Helper programs of the host (git, mkfs.erofs) as unprivileged users in limited groups.
//!
//! `PROGRAM confine --uid N --instance LETTERS --group NAME --memory BYTES --pids N -- COMMAND…` joins a group,
//! gives up every privilege and becomes the command. [`Confinement::command`] builds that line.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use paddock_runtime::Limits;
use rustix::thread::{CapabilitySet, Gid, Uid};

use crate::cgroup::Cgroups;
use crate::kernel::{self, CloseFrom};

/// How a helper program is held in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// The program that calls [`confine_main`]: paddockd itself.
    pub program: PathBuf,
    pub instance: String,
    /// User and group that the command runs as; not 0.
    pub uid: u32,
    /// Name of its cgroup within the instance's: lower-case letters, digits and `-`. Commands of one group share
    /// its limits.
    pub group: String,
    pub memory_bytes: u64,
    pub pids: u32,
}

impl Confinement {
    /// A command that runs held in; arguments, environment, folder and streams are added by the caller as usual.
    #[must_use]
    pub fn command(&self, command: impl AsRef<OsStr>) -> tokio::process::Command {
        let Self { program, instance, uid, group, memory_bytes, pids } = self;
        #[expect(clippy::disallowed_methods, reason = "this is how programs of the host are run")]
        let mut line = tokio::process::Command::new(program);
        line.arg("confine")
            .args(["--uid", &uid.to_string(), "--instance", instance, "--group", group])
            .args(["--memory", &memory_bytes.to_string(), "--pids", &pids.to_string(), "--"])
            .arg(command);
        line
    }

    /// Kills whatever is left in the group and removes it; blocks for at most ten seconds.
    ///
    /// # Errors
    /// When the kernel does not let go of it in time.
    pub fn end(&self) -> io::Result<()> {
        let cgroups = Cgroups::detect(&self.instance)?;
        let name = group_name(&self.group)?;
        cgroups.kill(&name);
        cgroups.remove(&name, Duration::from_secs(10))
    }
}

/// Groups of helpers cannot be taken for those of containers.
fn group_name(group: &str) -> io::Result<String> {
    let is_name = !group.is_empty()
        && group.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_name {
        Ok(format!("helper-{group}"))
    } else {
        Err(invalid(format!("{group:?} is no name of a group")))
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// `paddockd confine …`, called before any thread exists; the arguments after `confine`. Returns only when something
/// failed, with 126, or 127 when the command cannot be executed, and a line on standard error.
pub fn confine_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (status, error) = match Orders::parse(arguments).and_then(|orders| orders.obey()) {
        Ok((error, command)) => (127, format!("{}: {error}", Path::new(&command).display())),
        Err(error) => (126, format!("confine: {error}")),
    };
    use std::io::Write;
    let _ = writeln!(io::stderr(), "{error}");
    ExitCode::from(status)
}

#[derive(Debug, Default)]
struct Orders {
    uid: u32,
    instance: String,
    group: String,
    memory_bytes: u64,
    pids: u32,
    command: Vec<OsString>,
}

impl Orders {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> io::Result<Self> {
        let mut orders = Self::default();
        while let Some(argument) = arguments.next() {
            let name = argument.to_str().unwrap_or("").to_owned();
            if name == "--" {
                orders.command = arguments.collect();
                break;
            }
            let value = arguments.next().and_then(|value| value.into_string().ok()).unwrap_or_default();
            let bad = || invalid(format!("{name} {value:?} is not understood"));
            match name.as_str() {
                "--uid" => orders.uid = value.parse().map_err(|_| bad())?,
                "--instance" => orders.instance.clone_from(&value),
                "--group" => orders.group = group_name(&value)?,
                "--memory" => orders.memory_bytes = value.parse().map_err(|_| bad())?,
                "--pids" => orders.pids = value.parse().map_err(|_| bad())?,
                _ => return Err(bad()),
            }
        }
        let is_instance =
            orders.instance.len() == 6 && orders.instance.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_whole = orders.uid > 0 && is_instance && !orders.group.is_empty() && orders.memory_bytes > 0;
        if !is_whole || orders.pids == 0 || orders.command.is_empty() {
            return Err(invalid("uid, instance, group, memory, pids and a command are needed".to_owned()));
        }
        Ok(orders)
    }

    /// Becomes the command; gives back why it did not.
    fn obey(self) -> io::Result<(io::Error, OsString)> {
        let cgroups = Cgroups::detect(&self.instance)?;
        let limits = Limits {
            memory_bytes: self.memory_bytes,
            // Held in by weight alone: a helper may use what nobody else wants.
            cpu_millicores: u32::try_from(std::thread::available_parallelism()?.get() * 1000)
                .unwrap_or(u32::MAX),
            cpu_weight: 100,
            pids: self.pids,
        };
        cgroups.prepare()?;
        cgroups.create(&self.group, &limits)?;
        cgroups.join(&self.group)?;
        drop_to(self.uid)?;
        kernel::close_from(3, CloseFrom::OnExec)?;
        let Some((command, arguments)) = self.command.split_first() else {
            return Err(invalid("there is no command".to_owned()));
        };
        use std::os::unix::process::CommandExt;
        #[expect(clippy::disallowed_methods, reason = "this is how programs of the host are run")]
        let error = std::process::Command::new(command).args(arguments).exec();
        Ok((error, command.clone()))
    }
}

/// Becomes an ordinary user for good.
fn drop_to(uid: u32) -> io::Result<()> {
    for capability in 0..64 {
        let Some(capability) = CapabilitySet::from_bits(1 << capability) else { break };
        if rustix::thread::remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)?;
    Ok(rustix::thread::set_no_new_privs(true)?)
}
