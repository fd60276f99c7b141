//! A user namespace with the container's ids, and the network namespace that it owns.
//!
//! The kernel lets the container's root mount sysfs only where its user namespace owns the network namespace. Both
//! live as long as somebody holds them: nothing is pinned to a file, and nothing is left when everybody was killed.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use rustix::process::{Pid, WaitOptions};
use rustix::thread::UnshareFlags;

use crate::error::{Doing, StepError};
use crate::kernel::{self, Forked, SingleThreaded};
use crate::record::NetworkRecord;
use crate::tool::tool;

/// How many ids a container has.
pub(super) const IDS: u32 = 65_536;

/// The two namespaces.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) userns: OwnedFd,
    pub(super) netns: OwnedFd,
}

impl Slot {
    /// Makes both, with ids 0..65,535 mapped to `id_base` and up.
    pub(super) fn make(proof: &SingleThreaded, id_base: u32) -> Result<Self, StepError> {
        let pipe =
            || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(|| "make a pipe".to_owned());
        let ((made_read, made), (stay, leave)) = (pipe()?, pipe()?);
        match kernel::fork(proof).doing(|| "make a process".to_owned())? {
            Forked::Child => {
                drop((made_read, leave));
                if kernel::unshare(proof, UnshareFlags::NEWUSER | UnshareFlags::NEWNET).is_ok() {
                    let _ = std::fs::File::from(made).write_all(b"m");
                    let _ = std::fs::File::from(stay).read(&mut [0]);
                }
                kernel::exit_now(0);
            }
            Forked::Parent(pid) => {
                drop((made, stay));
                let slot = std::fs::File::from(made_read)
                    .read_exact(&mut [0])
                    .doing(|| "make a user and a network namespace".to_owned())
                    .and_then(|()| Self::of(pid, id_base));
                drop(leave);
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
                slot
            }
        }
    }

    fn of(pid: Pid, id_base: u32) -> Result<Self, StepError> {
        let proc = format!("/proc/{}", pid.as_raw_nonzero());
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("{proc}/{map}"), format!("0 {id_base} {IDS}\n"))
                .doing(|| format!("map ids from {id_base}"))?;
        }
        let open = |kind: &str| {
            std::fs::File::open(format!("{proc}/ns/{kind}")).doing(|| format!("open the {kind} namespace"))
        };
        Ok(Self { userns: open("user")?.into(), netns: open("net")?.into() })
    }
}

/// `ip` at work: a pair of interfaces, one end on the bridge and the other in the slot.
#[derive(Debug)]
pub(super) struct Wiring(Child);

impl Wiring {
    pub(super) fn start(network: &NetworkRecord, slot: &Slot) -> Result<Self, StepError> {
        let NetworkRecord { interface, bridge, .. } = network;
        let netns =
            format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&slot.netns));
        // Isolated ports of a bridge do not reach each other, whatever becomes of the rules. A service's is not: the rules say
        // who reaches it.
        let (hardware, isolated) = match network.hardware() {
            Some(hardware) => (format!("address {hardware} "), "off"),
            None => (String::new(), "on"),
        };
        let script = format!(
            "link add {interface} master {bridge} type veth peer name eth0 {hardware}netns {netns}\n\
             link set {interface} type bridge_slave isolated {isolated}\n\
             link set {interface} up\n"
        );
        let mut child = tool("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .doing(|| "run ip".to_owned())?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes()).doing(|| "write to ip".to_owned())?;
        }
        Ok(Self(child))
    }

    pub(super) fn wait(self) -> Result<(), StepError> {
        let output = self.0.wait_with_output().doing(|| "wait for ip".to_owned())?;
        if output.status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(std::io::Error::other(complaint)).doing(|| "connect the container to the bridge".to_owned())
    }
}
