//! The way into a container: for its pid 1 through new namespaces, for a further program through pid 1's.
//!
//! The shim (host root, in none of the container's namespaces) forks a process that joins the cgroups and the
//! namespaces and then makes a *sibling*, whose parent is the shim and which is inside. Order matters at nearly
//! every line; the comments say why.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions};
use rustix::thread::{Gid, LinkNameSpaceType, ThreadNameSpaceType, Uid, UnshareFlags};

use super::init;
use super::own_cgroup;
use super::program::{Program, give_up_privilege, kept_capabilities, take_filter};
use super::report::{self, Report, Reporter, Reports};
use super::rootfs::{self, ROOT, Runner};
use super::slot::Slot;
use super::streams::ProgramStreams;
use crate::cgroup::Cgroups;
use crate::error::{Doing, StepError};
use crate::kernel::{self, Forked, SingleThreaded};
use crate::record::{Folder, NetworkRecord, RootRecord, SpecRecord, UserRecord};

/// Files of `/proc` and `/sys` that say or do things about the host.
const HIDDEN_FILES: [&str; 7] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sysrq-trigger",
    "/proc/latency_stats",
    "/proc/sched_debug",
];
const HIDDEN_FOLDERS: [&str; 5] =
    ["/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"];
const READ_ONLY_FOLDERS: [&str; 4] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

/// What the ways in have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Container<'a> {
    pub(super) proof: &'a SingleThreaded,
    pub(super) spec: &'a SpecRecord,
    pub(super) folder: &'a Folder,
    pub(super) cgroups: &'a Cgroups,
    pub(super) filter: &'a [libc::sock_filter],
    pub(super) devpts: BorrowedFd<'a>,
}

/// A pid 1 that waits for the word to start the program.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Pid 1, as the host numbers it.
    pub(super) init: Pid,
    /// Who the program runs as.
    pub(super) runner: Runner,
    reports: Reports,
    go: std::fs::File,
}

impl Waiting {
    /// Lets pid 1 start the program; returns once it was executed.
    pub(super) fn go(mut self) -> Result<(), StepError> {
        self.go.write_all(b"g").doing(|| "start the program".to_owned())?;
        match self.reports.next().doing(|| "wait for the program's start".to_owned())? {
            Some(Report::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Makes the container up to a pid 1 that is ready. `network_ready` is called while the root is being built and
/// returns when the interface is in the slot. Pid 1 reports the program's end to what is given beside it.
pub(super) fn prepare(
    container: Container<'_>,
    slot: &Slot,
    program: &Program,
    streams: ProgramStreams,
    disk: BorrowedFd<'_>,
    network_ready: impl FnOnce() -> Result<(), StepError>,
) -> Result<(Waiting, Reports), StepError> {
    let (mut reports, mut reporter) = report::channel().doing(|| "make a pipe".to_owned())?;
    let (ends, end) = report::channel().doing(|| "make a pipe".to_owned())?;
    let (go_read, go) = pipe()?;
    let (network_read, mut network) = pipe()?;
    hide_memory()?;
    let intermediate = match kernel::fork(container.proof).doing(|| "make a process".to_owned())? {
        Forked::Parent(pid) => pid,
        Forked::Child => {
            drop((reports, ends, go, network));
            let gates = Gates { network: network_read, go: go_read, end };
            let Err(error) = become_init(container, slot, program, streams, disk, gates, &mut reporter);
            reporter.send(&Report::Failed(error));
            kernel::exit_now(127);
        }
    };
    drop((reporter, end, streams, go_read, network_read));
    let ready = network_ready();
    if ready.is_ok() {
        let _ = network.write_all(b"n");
    }
    // Closing it without a word makes the child give up.
    drop(network);
    let result = wait_until_ready(&mut reports);
    let _ = rustix::process::waitpid(Some(intermediate), WaitOptions::empty());
    ready?;
    let (init, runner) = result?;
    Ok((Waiting { init, runner, reports, go }, ends))
}

/// Two processes report on one pipe: the intermediate one who runs and then the number of pid 1, and pid 1 itself that it is
/// ready. Either of these may come first.
fn wait_until_ready(reports: &mut Reports) -> Result<(Pid, Runner), StepError> {
    let (mut runs, mut init, mut is_ready) = (None, None, false);
    loop {
        match reports.next().doing(|| "wait for pid 1".to_owned())? {
            Some(Report::Runner(runner)) => runs = Some(runner),
            Some(Report::Pid(pid)) => init = Pid::from_raw(pid),
            Some(Report::Ready) => is_ready = true,
            Some(Report::Ended(_)) => {}
            Some(Report::Failed(error)) => {
                reap(init);
                return Err(error);
            }
            None => {
                reap(init);
                return Err(io::ErrorKind::UnexpectedEof).doing(|| "wait for pid 1".to_owned());
            }
        }
        if is_ready && let (Some(init), Some(runner)) = (init, runs.clone()) {
            return Ok((init, runner));
        }
    }
}

fn reap(pid: Option<Pid>) {
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    }
}

fn pipe() -> Result<(std::fs::File, std::fs::File), StepError> {
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(|| "make a pipe".to_owned())?;
    Ok((read.into(), write.into()))
}

/// What this process forks holds the shim's memory (the environment) and descriptors until it executes something.
fn hide_memory() -> Result<(), StepError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .doing(|| "hide the process's memory".to_owned())
}

/// A service may be protected from the kernel's search for memory; what it starts here must not be.
fn be_killed_like_others() -> Result<(), StepError> {
    let file = "/proc/self/oom_score_adj";
    let adjustment = std::fs::read_to_string(file).doing(|| format!("read {file}"))?;
    if adjustment.starts_with('-') {
        std::fs::write(file, "0").doing(|| format!("write {file}"))?;
    }
    Ok(())
}

/// Words of the shim that the child waits for, and where it says its last.
struct Gates {
    network: std::fs::File,
    go: std::fs::File,
    end: Reporter,
}

impl Gates {
    fn wait(gate: &mut std::fs::File) -> Result<(), StepError> {
        gate.read_exact(&mut [0]).doing(|| "wait for the shim".to_owned())
    }
}

/// In the forked process: builds the root, enters the namespaces, and continues in the sibling as pid 1.
fn become_init(
    container: Container<'_>,
    slot: &Slot,
    program: &Program,
    streams: ProgramStreams,
    disk: BorrowedFd<'_>,
    mut gates: Gates,
    reporter: &mut Reporter,
) -> Result<std::convert::Infallible, StepError> {
    let Container { proof, spec, folder, cgroups, .. } = container;
    // Before the cgroup namespace is made: its root is the group joined here.
    cgroups.join(&spec.id).doing(|| "join the cgroup".to_owned())?;
    be_killed_like_others()?;
    // A mount namespace of the host's first: only host root may make these mounts.
    unshare(proof, UnshareFlags::NEWNS)?;
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", propagation).doing(|| "make mounts private".to_owned())?;
    let userns = slot.userns.as_fd();
    let runner = rootfs::build(proof, spec, program.home(), folder, disk, userns, container.devpts)?;
    streams.give_to(runner.user, spec.id_base).doing(|| "give the standard streams away".to_owned())?;
    let program = program.at_home(runner.home.as_deref());
    reporter.send(&Report::Runner(runner.clone()));
    Gates::wait(&mut gates.network)?;
    join_namespace(slot.userns.as_fd(), LinkNameSpaceType::User)?;
    become_root_inside()?;
    join_namespace(slot.netns.as_fd(), LinkNameSpaceType::Network)?;
    configure_network(spec.network.as_ref())?;
    // The mount namespace again, now owned by the container's user namespace: what was mounted above is locked.
    let inner = UnshareFlags::NEWPID
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    unshare(proof, inner)?;
    continue_as_sibling(proof, reporter)?;
    settle(&spec.hostname, cgroups)?;
    if spec.root != RootRecord::Stack {
        check_root_writable()?;
    }
    give_up_privilege(runner.user, kept_capabilities(spec))?;
    if spec.root == RootRecord::Stack {
        check_writable()?;
    }
    take_filter(container.filter)?;
    // After the last change of ids, which would clear it. If the shim has died before this line, nobody sends the
    // word that is waited for below, and this process ends.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .doing(|| "tie pid 1 to the shim".to_owned())?;
    reporter.send(&Report::Ready);
    Gates::wait(&mut gates.go)?;
    let reporter = reporter.try_clone().doing(|| "keep the report pipe".to_owned())?;
    init::run(proof, &program, streams, reporter, gates.end)
}

/// Runs a further program inside; returns its process, whose parent is the shim, once it was executed.
pub(super) fn exec(
    container: Container<'_>,
    user: UserRecord,
    init: BorrowedFd<'_>,
    program: &Program,
    streams: ProgramStreams,
) -> Result<Pid, StepError> {
    let (mut reports, mut reporter) = report::channel().doing(|| "make a pipe".to_owned())?;
    hide_memory()?;
    let intermediate = match kernel::fork(container.proof).doing(|| "make a process".to_owned())? {
        Forked::Parent(pid) => pid,
        Forked::Child => {
            drop(reports);
            let Err(error) = become_program(container, user, init, program, &streams, &mut reporter);
            reporter.send(&Report::Failed(error));
            kernel::exit_now(127);
        }
    };
    drop((reporter, streams));
    let (mut pid, mut failure) = (None, None);
    while let Some(report) = reports.next().doing(|| "wait for the program".to_owned())? {
        match report {
            Report::Pid(number) => pid = Pid::from_raw(number),
            Report::Failed(error) => failure = Some(error),
            Report::Runner(_) | Report::Ready | Report::Ended(_) => {}
        }
    }
    let _ = rustix::process::waitpid(Some(intermediate), WaitOptions::empty());
    if let Some(error) = failure {
        reap(pid);
        return Err(error);
    }
    pid.ok_or(io::ErrorKind::UnexpectedEof).doing(|| "enter the container".to_owned())
}

/// In the forked process: joins pid 1's namespaces and becomes the program in the sibling.
fn become_program(
    container: Container<'_>,
    user: UserRecord,
    init: BorrowedFd<'_>,
    program: &Program,
    streams: &ProgramStreams,
    reporter: &mut Reporter,
) -> Result<std::convert::Infallible, StepError> {
    container.cgroups.join(&container.spec.id).doing(|| "join the cgroup".to_owned())?;
    be_killed_like_others()?;
    let all = ThreadNameSpaceType::USER
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    rustix::thread::move_into_thread_name_spaces(init, all)
        .doing(|| "join the container's namespaces".to_owned())?;
    become_root_inside()?;
    continue_as_sibling(container.proof, reporter)?;
    give_up_privilege(user, kept_capabilities(container.spec))?;
    take_filter(container.filter)?;
    Err(program.run(streams))
}

fn unshare(proof: &SingleThreaded, flags: UnshareFlags) -> Result<(), StepError> {
    kernel::unshare(proof, flags).doing(|| "make namespaces".to_owned())
}

fn join_namespace(namespace: BorrowedFd<'_>, kind: LinkNameSpaceType) -> Result<(), StepError> {
    rustix::thread::move_into_link_name_space(namespace, Some(kind))
        .doing(|| format!("join the {kind:?} namespace"))
}

/// Takes the ids of the container's root, which own what is made from here on.
fn become_root_inside() -> Result<(), StepError> {
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .doing(|| "set the group".to_owned())?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .doing(|| "set the user".to_owned())?;
    // By the rules of its new user it may be looked into, and a program inside may run as the same one.
    hide_memory()
}

/// Returns in the sibling, which is inside; the process that called ends.
fn continue_as_sibling(proof: &SingleThreaded, reporter: &mut Reporter) -> Result<(), StepError> {
    match kernel::fork_sibling(proof).doing(|| "make a process inside".to_owned())? {
        Forked::Child => Ok(()),
        Forked::Parent(pid) => {
            reporter.send(&Report::Pid(pid.as_raw_nonzero().get()));
            kernel::exit_now(0);
        }
    }
}

/// Switches on what the network namespace has.
fn configure_network(network: Option<&NetworkRecord>) -> Result<(), StepError> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).doing(|| "open a socket".to_owned())?;
    kernel::interface_up(socket.as_fd(), "lo").doing(|| "switch lo on".to_owned())?;
    let Some(NetworkRecord { address, netmask, gateway, .. }) = network else { return Ok(()) };
    let socket = socket.as_fd();
    // No IPv6 on the bridge: nothing there would answer, and neighbours could be seen by their link addresses.
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1");
    kernel::interface_address(socket, "eth0", *address, *netmask)
        .and_then(|()| kernel::interface_up(socket, "eth0"))
        .and_then(|()| kernel::default_route(socket, *gateway))
        .doing(|| "configure eth0".to_owned())
}

/// Pid 1, as the container's root: makes the root its own and hides what is the host's.
fn settle(hostname: &str, cgroups: &Cgroups) -> Result<(), StepError> {
    rustix::system::sethostname(hostname.as_bytes()).doing(|| "set the host name".to_owned())?;
    // The inherited mounts are locked; only a bind of the root on itself is ours to pivot to.
    rustix::mount::mount_bind_recursive(ROOT, ROOT).doing(|| "bind the root".to_owned())?;
    let root = Path::new(ROOT);
    let flags = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    let proc = rootfs::new_mount("proc", &[], &[], flags)?;
    rootfs::attach(proc.as_fd(), &root.join("proc"))?;
    let sysfs = rootfs::new_mount("sysfs", &[], &[("ro", None)], flags | libc::MOUNT_ATTR_RDONLY)?;
    rootfs::attach(sysfs.as_fd(), &root.join("sys"))?;
    if let Err(error) = own_cgroup::show(&cgroups.shown(), &root.join("sys/fs/cgroup")) {
        // A program that finds no limit there takes the machine's for its own; that is no reason not to run it.
        super::log(&format!("show the container's cgroup: {}", error.chain()));
    }
    if let Ok(mqueue) = rootfs::new_mount("mqueue", &[], &[], flags) {
        rootfs::attach(mqueue.as_fd(), &root.join("dev/mqueue"))?;
    }
    rustix::process::chdir(ROOT).doing(|| "enter the root".to_owned())?;
    // Stacks the old root on the new one, then takes it away with everything of the host's below it.
    rustix::process::pivot_root(".", ".").doing(|| "change the root".to_owned())?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).doing(|| "leave the host's root".to_owned())?;
    rustix::process::chdir("/").doing(|| "enter the root".to_owned())?;
    hide_host()
}

fn hide_host() -> Result<(), StepError> {
    for file in HIDDEN_FILES.into_iter().filter(|file| Path::new(file).exists()) {
        rustix::mount::mount_bind("/dev/null", file).doing(|| format!("hide {file}"))?;
    }
    for folder in HIDDEN_FOLDERS.into_iter().filter(|folder| Path::new(folder).is_dir()) {
        let empty =
            rootfs::new_mount("tmpfs", &[("size", "4k"), ("nr_inodes", "1")], &[], libc::MOUNT_ATTR_RDONLY)?;
        rootfs::attach(empty.as_fd(), Path::new(folder))?;
    }
    let flags =
        MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for folder in READ_ONLY_FOLDERS.into_iter().filter(|folder| Path::new(folder).is_dir()) {
        rustix::mount::mount_bind_recursive(folder, folder)
            .and_then(|()| rustix::mount::mount_remount(folder, flags, c""))
            .doing(|| format!("make {folder} read-only"))?;
    }
    Ok(())
}

/// As the program's user: writes a file, because a wrongly mapped writable layer shows only then.
fn check_writable() -> Result<(), StepError> {
    let path = "/tmp/.paddock-check";
    std::fs::write(path, "")
        .and_then(|()| std::fs::remove_file(path))
        .doing(|| "write to the container's /tmp".to_owned())
}

/// The same as the container's root, where `/tmp` is an image's. The name is a new one, so no link of the image is followed.
fn check_root_writable() -> Result<(), StepError> {
    let path = "/.paddock-check";
    match std::fs::File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|_| std::fs::remove_file(path)),
    }
    .doing(|| "write to the container's root".to_owned())
}

/// A descriptor for a process.
pub(super) fn watch(pid: Pid) -> Result<OwnedFd, StepError> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        .doing(|| "watch a process".to_owned())
}
