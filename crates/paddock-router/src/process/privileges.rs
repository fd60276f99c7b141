//! What the process of a router gives up before it begins.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

/// An unprivileged user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// User id, not 0.
    pub uid: u32,
    /// Group id, not 0.
    pub gid: u32,
}

/// A privilege that could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("could not give up privileges: {doing}")]
pub(crate) struct PrivilegeKept {
    doing: &'static str,
    source: io::Error,
}

/// Order matters: the bounding set needs CAP_SETPCAP, groups need CAP_SETGID, and the change of user takes both.
pub(crate) fn give_up(run_as: RunAs) -> Result<(), PrivilegeKept> {
    let step = |doing| move |errno: rustix::io::Errno| PrivilegeKept { doing, source: errno.into() };
    if run_as.uid == 0 || run_as.gid == 0 {
        let source = io::ErrorKind::InvalidInput.into();
        return Err(PrivilegeKept { doing: "the router does not run as root", source });
    }
    rustix::thread::clear_ambient_capability_set().map_err(step("ambient capabilities"))?;
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // A capability this kernel does not know, or a start without root.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {}
            Err(errno) => return Err(step("bounding set")(errno)),
        }
    }
    let (uid, gid) = (Uid::from_raw(run_as.uid), Gid::from_raw(run_as.gid));
    rustix::thread::set_thread_groups(&[]).map_err(step("groups"))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(step("group id"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(step("user id"))?;
    let none = CapabilitySet::empty();
    let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(step("capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(step("no_new_privs"))
}
