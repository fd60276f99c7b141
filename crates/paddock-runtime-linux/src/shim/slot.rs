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
use crate::record::{NetworkRecord, UserRecord};
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
        of_new_process(proof, UnshareFlags::NEWUSER | UnshareFlags::NEWNET, |pid| {
            let map = format!("0 {id_base} {IDS}\n");
            write_maps(pid, &map, &map)?;
            Ok(Self { userns: namespace(pid, "user")?, netns: namespace(pid, "net")? })
        })
    }
}

/// A user namespace for the id maps of layers: what is root's in their files is this user's, and what is this user's is root's;
/// its group likewise.
pub(super) fn swapping_root(
    proof: &SingleThreaded,
    id_base: u32,
    user: UserRecord,
) -> Result<OwnedFd, StepError> {
    of_new_process(proof, UnshareFlags::NEWUSER, |pid| {
        write_maps(pid, &swapped(id_base, user.uid), &swapped(id_base, user.gid))?;
        namespace(pid, "user")
    })
}

/// The map of ids 0..65,535 to `id_base` and up, with 0 and `id` in each other's place.
fn swapped(id_base: u32, id: u32) -> String {
    let parts = [
        (0, id_base + id, 1),
        (1, id_base + 1, id.saturating_sub(1)),
        (id, id_base, u32::from(id > 0)),
        (id + 1, id_base + id + 1, IDS - 1 - id),
    ];
    let parts = parts.into_iter().filter(|(_, _, count)| *count > 0);
    parts.map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect()
}

/// What is taken of a process that has new namespaces, and ends thereafter.
fn of_new_process<T>(
    proof: &SingleThreaded,
    flags: UnshareFlags,
    take: impl FnOnce(Pid) -> Result<T, StepError>,
) -> Result<T, StepError> {
    let pipe =
        || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(|| "make a pipe".to_owned());
    let ((made_read, made), (stay, leave)) = (pipe()?, pipe()?);
    match kernel::fork(proof).doing(|| "make a process".to_owned())? {
        Forked::Child => {
            drop((made_read, leave));
            if kernel::unshare(proof, flags).is_ok() {
                let _ = std::fs::File::from(made).write_all(b"m");
                let _ = std::fs::File::from(stay).read(&mut [0]);
            }
            kernel::exit_now(0);
        }
        Forked::Parent(pid) => {
            drop((made, stay));
            let taken = std::fs::File::from(made_read)
                .read_exact(&mut [0])
                .doing(|| "make a user namespace, or a network namespace".to_owned())
                .and_then(|()| take(pid));
            drop(leave);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            taken
        }
    }
}

fn write_maps(pid: Pid, users: &str, groups: &str) -> Result<(), StepError> {
    for (name, map) in [("uid_map", users), ("gid_map", groups)] {
        std::fs::write(format!("/proc/{}/{name}", pid.as_raw_nonzero()), map)
            .doing(|| format!("map ids: {}", map.trim_end().replace('\n', ", ")))?;
    }
    Ok(())
}

fn namespace(pid: Pid, kind: &str) -> Result<OwnedFd, StepError> {
    let opened = std::fs::File::open(format!("/proc/{}/ns/{kind}", pid.as_raw_nonzero()));
    Ok(opened.doing(|| format!("open the {kind} namespace"))?.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_a_user_change_places_and_nobody_else() {
        assert_eq!(swapped(65_536, 31_000), "0 96536 1\n1 65537 30999\n31000 65536 1\n31001 96537 34535\n");
        assert_eq!(swapped(65_536, 1), "0 65537 1\n1 65536 1\n2 65538 65534\n");
        assert_eq!(swapped(65_536, 65_535), "0 131071 1\n1 65537 65534\n65535 65536 1\n");
        assert_eq!(swapped(65_536, 0), "0 65536 1\n1 65537 65535\n");
    }
}
