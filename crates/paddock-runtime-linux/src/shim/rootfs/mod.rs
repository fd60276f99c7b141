//! The root file system of a container, built in a mount namespace that ends with its last process.
//!
//! Layers are cloned from where the host has them and idmapped, so that file owner 0 is the container's root; the
//! writable layer on top is a folder of the container's disk, whose files carry the mapped ids. (An idmapped *upper* mounts
//! without error and is silently read-only.) What an image has in place of our mount points, e.g. a link to somewhere on the
//! host as `/dev`, is hidden: by what is laid on a stack (`stack`), or where it is found (`image_root`).

mod image_root;
mod image_user;
mod inside;
mod mounts;
mod overlay;
mod stack;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use self::image_user::ImageUsers;
use super::slot;
use crate::disk::image;
use crate::error::{Doing, StepError};
use crate::kernel::{self, SingleThreaded};
use crate::record::{Folder, RootRecord, SpecRecord};

/// The group of terminals, inside.
const TTY_ID: u32 = 5;
/// Where the root is, relative to the scratch folder that the builder leaves as working directory.
pub(super) const ROOT: &str = "merged";
/// Where the container's disk is, beside it, and what the overlay has of it.
const DISK: &str = "disk";
const UPPER: &str = "disk/upper";
const WORK: &str = "disk/work";

const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const PLAIN_FILES: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

pub(super) use self::image_user::Runner;

/// Builds the root under `ROOT` of a scratch folder and makes that the working directory; who is to run in it. `told` is the home
/// that the environment names. The caller is host root in a mount namespace of its own.
pub(super) fn build(
    proof: &SingleThreaded,
    spec: &SpecRecord,
    told: Option<&str>,
    folder: &Folder,
    disk: BorrowedFd<'_>,
    userns: BorrowedFd<'_>,
    devpts: BorrowedFd<'_>,
) -> Result<Runner, StepError> {
    let scratch = folder.0.join("scratch");
    std::fs::create_dir_all(&scratch).doing(|| format!("make {}", scratch.display()))?;
    let tmpfs = new_mount("tmpfs", &[("mode", "755"), ("size", "1m")], &[], 0)?;
    attach(tmpfs.as_fd(), &scratch)?;
    std::env::set_current_dir(&scratch).doing(|| format!("enter {}", scratch.display()))?;
    for name in [ROOT, DISK] {
        std::fs::create_dir(name).doing(|| format!("make {name}"))?;
    }
    attach(disk, Path::new(DISK))?;
    let users = ImageUsers::of(spec, told)?;
    let swapped = users.has_roots_files.then(|| slot::swapping_root(proof, spec.id_base, users.runner.user));
    let swapped = swapped.transpose()?;
    let of_files = swapped.as_ref().map_or(userns, AsFd::as_fd);
    let mut lower = overlay::attach_layers(&spec.layers, Some(of_files))?;
    fresh_work()?;
    let is_stack = spec.root == RootRecord::Stack;
    if is_stack {
        stack::upper(spec)?;
    } else {
        image_root::prepare(spec, &users, lower.folders.first(), lower.host_usr)?;
        lower.folders.push(image_root::SKELETON.to_owned());
    }
    attach(overlay::overlay(&lower.folders, spec.root)?.as_fd(), Path::new(ROOT))?;
    let root = rustix::fs::open(ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .doing(|| "open the root".to_owned())?;
    if !is_stack {
        image_root::shape(spec, &users, root.as_fd(), lower.host_usr)?;
    }
    if lower.host_usr {
        // Root inside may read every file of an owner that it knows: the host's own it must not know.
        host_usr((spec.root != RootRecord::Build).then_some(of_files))?;
    }
    dev(spec.id_base, devpts)?;
    for mount in &spec.mounts {
        mounts::attach_host_folder(mount, spec, root.as_fd())?;
    }
    if !is_stack {
        mounts::make_working_folder(spec, &users, root.as_fd())?;
    }
    Ok(users.runner)
}

/// Makes overlay's own folder. One that a start left which was cut off would refuse the next.
fn fresh_work() -> Result<(), StepError> {
    match std::fs::remove_dir_all(WORK) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("clear {WORK}"))
        }
        _ => owned_folder(Path::new(WORK), (0, 0), 0o755),
    }
}

/// The files of `/etc` that say who this container is.
fn name_files(spec: &SpecRecord) -> [(&'static str, String); 3] {
    let mut hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    let mut resolv = String::new();
    if let Some(network) = &spec.network {
        hosts += &format!("{} {}\n", network.address, spec.hostname);
        resolv = format!("nameserver {}\n", network.gateway);
    }
    [("hostname", format!("{}\n", spec.hostname)), ("hosts", hosts), ("resolv.conf", resolv)]
}

/// A new `devpts`, not attached yet: the shim opens terminals in it, the builder attaches a clone.
pub(super) fn new_devpts(id_base: u32) -> Result<OwnedFd, StepError> {
    let gid = (id_base + TTY_ID).to_string();
    let options = [("ptmxmode", "666"), ("mode", "620"), ("gid", gid.as_str())];
    new_mount("devpts", &options, &[], libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)
}

/// The group of a terminal, as the host numbers it.
pub(super) fn terminal_group(id_base: u32) -> Gid {
    Gid::from_raw(id_base + TTY_ID)
}

/// A detached mount of a new file system. `wishes` are options that older kernels may not know.
pub(super) fn new_mount(
    kind: &str,
    options: &[(&str, &str)],
    wishes: &[(&str, Option<&str>)],
    attributes: u64,
) -> Result<OwnedFd, StepError> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).doing(|| format!("open file system {kind}"))?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value).doing(|| format!("set {key}={value} of {kind}"))?;
    }
    for (key, value) in wishes {
        wish(&context, key, *value);
    }
    finish_mount(&context, kind, attributes)
}

/// Sets an option that older kernels may not know.
fn wish(context: &OwnedFd, key: &str, value: Option<&str>) {
    let _ = match value {
        Some(value) => fsconfig_set_string(context, key, value),
        None => fsconfig_set_flag(context, key),
    };
}

fn finish_mount(context: &OwnedFd, kind: &str, attributes: u64) -> Result<OwnedFd, StepError> {
    fsconfig_create(context).doing(|| format!("make file system {kind}"))?;
    let attributes = MountAttrFlags::from_bits_retain(u32::try_from(attributes).unwrap_or(0));
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).doing(|| format!("mount {kind}"))
}

/// Attaches a detached mount at a path.
pub(super) fn attach(mount: BorrowedFd<'_>, path: &Path) -> Result<(), StepError> {
    image::attach_at(mount, path).doing(|| format!("attach a mount at {}", path.display()))
}

/// A detached clone of the mount at a path of the host.
fn clone_of(path: &Path, flags: OpenTreeFlags) -> Result<OwnedFd, StepError> {
    let flags = flags | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags).doing(|| format!("clone the mount at {}", path.display()))
}

/// A detached clone of the mount at a folder, for a container's disk that is no file system of its own.
pub(super) fn plain_clone(folder: &Path) -> Result<OwnedFd, StepError> {
    let clone = clone_of(folder, OpenTreeFlags::empty())?;
    kernel::mount_setattr(clone.as_fd(), PLAIN_FILES, None, false)
        .doing(|| format!("set the attributes of {}", folder.display()))?;
    Ok(clone)
}

/// Makes a folder that belongs to this user and group of the host.
fn owned_folder(path: &Path, (uid, gid): (u32, u32), mode: u32) -> Result<(), StepError> {
    let doing = || format!("make {}", path.display());
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).doing(doing),
        _ => {}
    }
    chown(path, Some(uid), Some(gid)).doing(doing)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).doing(doing)
}

/// Writes a file that everybody may read and that belongs to this user and group of the host.
fn owned_file(path: &Path, (uid, gid): (u32, u32), content: &[u8]) -> Result<(), StepError> {
    let doing = || format!("write {}", path.display());
    std::fs::write(path, content).doing(doing)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).doing(doing)?;
    chown(path, Some(uid), Some(gid)).doing(doing)
}

/// The host's `/usr`, read-only, without what is only this machine's. Without a user namespace its owners are nobody inside.
fn host_usr(userns: Option<BorrowedFd<'_>>) -> Result<(), StepError> {
    let attributes = READ_ONLY | PLAIN_FILES;
    let whole = clone_of(Path::new("/usr"), OpenTreeFlags::AT_RECURSIVE)?;
    let usr = match kernel::mount_setattr(whole.as_fd(), attributes, userns, true) {
        Ok(()) => whole,
        // Something that cannot be idmapped is mounted below: leave it out.
        Err(_) => {
            let alone = clone_of(Path::new("/usr"), OpenTreeFlags::empty())?;
            kernel::mount_setattr(alone.as_fd(), attributes, userns, false)
                .doing(|| "idmap the host's /usr".to_owned())?;
            alone
        }
    };
    let target = Path::new(ROOT).join("usr");
    attach(usr.as_fd(), &target)?;
    for name in ["local", "src"] {
        let hidden = target.join(name);
        if hidden.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            let empty = new_mount("tmpfs", &[("size", "4k"), ("mode", "755")], &[], attributes)?;
            attach(empty.as_fd(), &hidden)?;
        }
    }
    Ok(())
}

/// `/dev`: real device nodes on a tmpfs that belongs to the container's root.
fn dev(base: u32, devpts: BorrowedFd<'_>) -> Result<(), StepError> {
    let owner = base.to_string();
    let options = [
        ("mode", "755"),
        ("size", "64k"),
        ("nr_inodes", "1k"),
        ("uid", owner.as_str()),
        ("gid", owner.as_str()),
    ];
    let dev = new_mount("tmpfs", &options, &[], libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)?;
    let path = Path::new(ROOT).join("dev");
    attach(dev.as_fd(), &path)?;
    for (name, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        let node = path.join(name);
        let device = rustix::fs::makedev(major, minor);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, &node, FileType::CharacterDevice, mode, device)
            .and_then(|()| rustix::fs::chmodat(CWD, &node, mode, AtFlags::empty()))
            .doing(|| format!("make device {name}"))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, path.join(name)).doing(|| format!("link {name}"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        owned_folder(&path.join(name), (base, base), 0o755)?;
    }
    attach(devpts, &path.join("pts"))?;
    let options = [("mode", "1777"), ("size", "64m"), ("uid", owner.as_str()), ("gid", owner.as_str())];
    let shm = new_mount("tmpfs", &options, &[], PLAIN_FILES | libc::MOUNT_ATTR_NOEXEC)?;
    attach(shm.as_fd(), &path.join("shm"))
}
