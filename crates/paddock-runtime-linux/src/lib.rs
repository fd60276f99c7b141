//! Containers by kernel calls of our own: namespaces, cgroups v1 and v2, overlay, network, and the shim.
//!
//! * [`LinuxRuntime`] implements the port; it holds no process: each container has a shim ([`shim_main`]), which
//!   outlives the control plane and is found again by its folder.
//! * [`host_process`] runs the host's own helper programs as unprivileged users in limited groups.
//! * [`check_host`] and [`check_folder`] say what a machine lacks.
//!
//! Unsafe code is in the module `kernel` alone.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

mod cgroup;
mod check;
mod client;
mod container;
mod disk;
mod error;
mod host_check;
pub mod host_process;
mod id_ranges;
mod idmap;
mod images;
mod kernel;
mod net;
mod output;
mod protocol;
mod record;
mod runtime;
mod seccomp;
mod shim;
mod tool;

pub use check::check_host;
pub use disk::DISK_INTERVAL;
pub use host_check::HostCheck;
pub use id_ranges::IdRanges;
pub use idmap::check_folder;
pub use runtime::{LinuxConfig, LinuxRuntime, LocalImages};
pub use shim::shim_main;
