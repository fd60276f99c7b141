//! The kernel calls that have no safe form elsewhere; all unsafe code of the project is in this file.
//!
//! Everything that forks asks for a [`SingleThreaded`]: a child of a process with threads may find any lock held
//! for ever, so the shim makes its children before anything could start a thread.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Proof that this process has one thread.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

impl SingleThreaded {
    /// Checks that this is the only thread.
    pub(crate) fn check() -> io::Result<Self> {
        match std::fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(())),
            threads => Err(io::Error::other(format!("the shim must have one thread and has {threads}"))),
        }
    }
}

/// Where a fork returns.
#[derive(Debug)]
pub(crate) enum Forked {
    /// In the process that forked, with the child's id.
    Parent(Pid),
    /// In the new process.
    Child,
}

fn forked(result: libc::c_long) -> io::Result<Forked> {
    match result {
        0 => Ok(Forked::Child),
        pid if pid > 0 => Ok(i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .map(Forked::Parent)
            .expect("a positive number that the kernel gave is a process id")),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn fork(_proof: &SingleThreaded) -> io::Result<Forked> {
    // SAFETY: there is no other thread, so the child owns every lock of the allocator and the library as the parent did.
    forked(libc::c_long::from(unsafe { libc::fork() }))
}

/// Makes a process whose parent is *our* parent, as the last step of entering namespaces: the shim becomes the
/// parent of a process in a process namespace that it has not entered itself.
pub(crate) fn fork_sibling(_proof: &SingleThreaded) -> io::Result<Forked> {
    let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack this is a fork; one thread, as above. No child id is written.
    forked(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
}

/// Moves this (single-threaded) process into new namespaces.
pub(crate) fn unshare(_proof: &SingleThreaded, flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the file table is not unshared (no caller asks for it) and there is no other thread to surprise.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Ends the process at once, without running what the parent registered for its own exit.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: does not return and touches no memory.
    unsafe { libc::_exit(status) }
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Sets attributes of a mount (and with `recursive` of those below), with `userns` also its id mapping.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    set: u64,
    userns: Option<BorrowedFd<'_>>,
    recursive: bool,
) -> io::Result<()> {
    let userns_fd = userns.map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(u64::MAX));
    let set = if userns.is_some() { set | libc::MOUNT_ATTR_IDMAP } else { set };
    let attr = MountAttr { set, clear: 0, propagation: 0, userns: userns_fd };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a static C string, `attr` lives through the call and its size is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Installs a seccomp filter; each word is one BPF instruction (`code`, `jt`, `jf`, `k`). Needs `no_new_privs`.
pub(crate) fn seccomp(filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies `program.len` instructions from `filter`, which lives through the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Replaces the program of this process; returns only when that failed.
pub(crate) fn execve(path: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with null and point to C strings that live through the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// What happens to descriptors in [`close_from`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseFrom {
    /// Closed now.
    Now,
    /// Closed by the next execve.
    OnExec,
}

/// Closes every descriptor from `first` on, whoever owns it: only in a process that uses none of them afterwards
/// (`Now`: right after the start or in a fork that keeps nothing).
pub(crate) fn close_from(first: u32, when: CloseFrom) -> io::Result<()> {
    let flags = if when == CloseFrom::OnExec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: no memory is touched. Owned descriptors are not used after `Now`, as the contract above says.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every descriptor from 3 on but this one, which the same holds for as above.
pub(crate) fn close_all_but(kept: BorrowedFd<'_>) -> io::Result<()> {
    let kept = kept.as_raw_fd().cast_unsigned();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept.saturating_add(1).max(3), u32::MAX)] {
        if first > last {
            continue;
        }
        // SAFETY: as in `close_from`.
        if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Makes `number` (0, 1 or 2) a duplicate of `fd` that stays open over execve.
pub(crate) fn become_stdio(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: replaces one of the three standard descriptors, which nobody owns.
    if unsafe { libc::dup2(fd.as_raw_fd(), number) } >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts every signal back to its default and unblocks all: what is ignored or blocked survives execve.
pub(crate) fn reset_signals() {
    // The kernel's own `struct sigaction`: all zeroes is SIG_DFL without flags. By number, because the C library
    // refuses to touch the two signals it keeps for itself, which a parent may have ignored as well.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads 32 bytes, which live through the call, writes nothing, and runs no code of ours.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8_usize);
        }
    }
    // SAFETY: `none` is an empty set in the kernel's form, 8 bytes; nothing is written.
    unsafe {
        let none = 0_u64;
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null::<u64>(),
            8_usize,
        );
    }
}

/// An `ifreq` for the interface of this name.
fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all zeroes is a valid `ifreq`: it holds integers and arrays.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "interface name is too long"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    Ok(request)
}

fn inet(address: Ipv4Addr) -> libc::sockaddr {
    let inet = libc::sockaddr_in {
        sin_family: libc::AF_INET.cast_unsigned() as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: both are plain C structures of 16 bytes; the kernel reads one as the other by its family.
    unsafe { std::mem::transmute(inet) }
}

fn interface_ioctl(
    socket: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: *const libc::c_void,
) -> io::Result<()> {
    // SAFETY: callers pass a pointer to the structure that `request` is defined for, alive through the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), request as libc::Ioctl, argument) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Switches an interface of the current network namespace on. `socket` is any IPv4 socket in it.
pub(crate) fn interface_up(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    interface_ioctl(socket, libc::SIOCSIFFLAGS, (&raw const request).cast())
}

/// Gives an interface its address.
pub(crate) fn interface_address(
    socket: BorrowedFd<'_>,
    name: &str,
    address: Ipv4Addr,
    netmask: Ipv4Addr,
) -> io::Result<()> {
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_addr = inet(address);
    interface_ioctl(socket, libc::SIOCSIFADDR, (&raw const request).cast())?;
    request.ifr_ifru.ifru_netmask = inet(netmask);
    interface_ioctl(socket, libc::SIOCSIFNETMASK, (&raw const request).cast())
}

/// Adds the default route by `gateway`.
pub(crate) fn default_route(socket: BorrowedFd<'_>, gateway: Ipv4Addr) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `rtentry`; its pointers may be null.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = inet(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = inet(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = inet(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    interface_ioctl(socket, libc::SIOCADDRT, (&raw const route).cast())
}

/// `struct loop_info64` of loop(4).
#[repr(C)]
struct LoopInfo {
    numbers: [u64; 5],
    words: [u32; 3],
    flags: u32,
    names: [[u8; 64]; 2],
    key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of loop(4).
#[repr(C)]
struct LoopConfig {
    file: u32,
    block_bytes: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// `_IOR('X', 125, __u32)` of ext4.
const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587D_u32 as libc::Ioctl;
/// Nothing that waits is written any more.
const EXT4_GOING_FLAGS_NOLOGFLUSH: u32 = 2;

/// Stops an ext4 file system for good: what is not on its disk yet never goes there. `root` is its root folder.
pub(crate) fn shut_down_ext4(root: BorrowedFd<'_>) -> io::Result<()> {
    let flags = EXT4_GOING_FLAGS_NOLOGFLUSH;
    // SAFETY: the kernel reads one u32, which lives through the call.
    if unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The number of a loop device that is free now; `control` is `/dev/loop-control`.
pub(crate) fn free_loop_device(control: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: this request takes no argument and touches no memory.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    if number >= 0 { Ok(number) } else { Err(io::Error::last_os_error()) }
}

/// Backs a loop device by a file, without its page cache where the file system can do that. The device lets go of
/// the file when nobody has it open or mounted any more. `EBUSY`: somebody else has taken the device.
pub(crate) fn back_loop_device(
    device: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    block_bytes: u32,
) -> io::Result<()> {
    let info = LoopInfo {
        numbers: [0; 5],
        words: [0; 3],
        flags: LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
        names: [[0; 64]; 2],
        key: [0; 32],
        init: [0; 2],
    };
    let file = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    let config = LoopConfig { file, block_bytes, info, reserved: [0; 8] };
    // SAFETY: the kernel reads one `loop_config`, which lives through the call.
    if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
