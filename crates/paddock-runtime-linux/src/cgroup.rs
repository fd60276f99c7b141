//! Control groups: where they are mounted, and one group per container in each hierarchy.
//!
//! Version 1 controllers and version 2 are used side by side, whatever the host has. A group is named
//! `paddock-INSTANCE/NAME` in every hierarchy. The version 2 group exists even where that hierarchy has no
//! controllers: `cgroup.kill` works there.
#![expect(
    clippy::disallowed_methods,
    reason = "files of cgroups are switches of the kernel: nothing of them is on a disk"
)]

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use paddock_runtime::Limits;
use rustix::process::{Pid, Signal, kill_process};

/// Version 1 controllers that we use, where they are mounted.
const V1_CONTROLLERS: [&str; 5] = ["memory", "cpu", "cpuacct", "pids", "devices"];
/// Version 2 controllers that we use, where they are available.
const V2_CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// Of those what a container sees of its own: programs look there for what they may use.
const SHOWN_CONTROLLERS: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];
/// Devices a container may use: null zero full random urandom, tty ptmx, pseudo terminals.
const DEVICES: [&str; 8] = [
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];
/// The period that CPU quotas count in.
const CPU_PERIOD_MICROS: u64 = 100_000;
/// How long a group is waited for to stand still: one that has used its time up gets to it in its next period.
const FREEZE_PATIENCE: Duration = Duration::from_millis(250);

/// The hierarchies of this host, and our instance's parent group in them.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    /// Mount points with their controllers.
    v1: Vec<(PathBuf, Vec<String>)>,
    v2: Option<PathBuf>,
    /// Options of the version 2 mount.
    v2_options: String,
    parent: String,
}

/// A hierarchy as a container has it below its own `/sys/fs/cgroup`, in the order and under the names of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Folder below `/sys/fs/cgroup`; empty for a version 2 that is all there is.
    pub(crate) folder: String,
    /// Controllers of version 1, together in one hierarchy; none for version 2.
    pub(crate) controllers: Vec<String>,
}

impl Cgroups {
    /// Finds the hierarchies.
    pub(crate) fn detect(instance: &str) -> io::Result<Self> {
        let mut found = Self {
            v1: Vec::new(),
            v2: None,
            v2_options: String::new(),
            parent: format!("paddock-{instance}"),
        };
        for line in std::fs::read_to_string("/proc/self/mountinfo")?.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let mut right = right.split(' ');
            let (kind, options) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
            let Some(point) = left.split(' ').nth(4) else { continue };
            if kind == "cgroup2" && found.v2.is_none() {
                found.v2 = Some(point.into());
                found.v2_options =
                    options.split(',').filter(|option| *option != "rw").collect::<Vec<_>>().join(",");
            } else if kind == "cgroup" {
                let ours: Vec<_> = options
                    .split(',')
                    .filter(|name| V1_CONTROLLERS.contains(name))
                    .map(str::to_owned)
                    .collect();
                let known = found.v1.iter().any(|(_, controllers)| *controllers == ours);
                if !ours.is_empty() && !known {
                    found.v1.push((point.into(), ours));
                }
            }
        }
        Ok(found)
    }

    /// The controllers that are used, for the check of the host.
    pub(crate) fn controllers(&self) -> Vec<String> {
        let v1 = self.v1.iter().flat_map(|(_, names)| names.clone());
        let v2 =
            self.v2.iter().filter_map(|root| std::fs::read_to_string(root.join("cgroup.controllers")).ok());
        let v2 = v2.flat_map(|names| names.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        v1.chain(v2.filter(|name| V2_CONTROLLERS.contains(&name.as_str()))).collect()
    }

    /// Makes the instance's parent groups and passes version 2 controllers down to them.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        for (root, _) in &self.v1 {
            std::fs::create_dir_all(root.join(&self.parent))?;
        }
        if let Some(root) = &self.v2 {
            let parent = root.join(&self.parent);
            std::fs::create_dir_all(&parent)?;
            for controller in V2_CONTROLLERS {
                // A controller that version 1 holds cannot be passed down; its limits are set there then.
                for folder in [root, &parent] {
                    let _ = std::fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
        Ok(())
    }

    /// Remounts version 2 so that moving a process into a group does not wait for the whole machine: 20 to 60 ms
    /// less at each start. Affects all hierarchies and is harmless elsewhere; says whether the kernel took it.
    pub(crate) fn favour_moves(&self) -> bool {
        let Some(root) = &self.v2 else { return false };
        if self.v2_options.split(',').any(|option| option == "favordynmods") {
            return true;
        }
        // The other options are repeated, or the remount would take them away.
        let options = format!("{},favordynmods", self.v2_options);
        let options = std::ffi::CString::new(options.trim_start_matches(',')).unwrap_or_default();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount_remount(root, flags, options.as_c_str()).is_ok()
    }

    /// Makes the group of `name` with these limits in every hierarchy.
    pub(crate) fn create(&self, name: &str, limits: &Limits) -> io::Result<()> {
        for folder in self.folders(name) {
            std::fs::create_dir_all(&folder)?;
        }
        for (root, controllers) in &self.v1 {
            let folder = root.join(&self.parent).join(name);
            for controller in controllers {
                limit_v1(&folder, controller, limits)?;
            }
        }
        if let Some(root) = &self.v2 {
            limit_v2(&root.join(&self.parent).join(name), limits)?;
        }
        Ok(())
    }

    /// Moves the calling process into the group in every hierarchy.
    pub(crate) fn join(&self, name: &str) -> io::Result<()> {
        for folder in self.folders(name) {
            std::fs::write(folder.join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    /// Moves the calling process out of the service's group into one of the instance's, where that can matter to
    /// it: the version 2 hierarchy, systemd's own, and memory.
    pub(crate) fn leave_service(&self, name: &str) -> io::Result<()> {
        let mut roots: Vec<PathBuf> = self.v2.iter().cloned().collect();
        roots.extend(self.v1_root("memory").map(Path::to_path_buf));
        let systemd = Path::new("/sys/fs/cgroup/systemd");
        if systemd.join("cgroup.procs").exists() {
            roots.push(systemd.to_owned());
        }
        for root in roots {
            let folder = root.join(&self.parent).join(name);
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    /// The processes of a group; none when it does not exist.
    pub(crate) fn processes(&self, name: &str) -> Vec<Pid> {
        let Some(folder) = self.folders(name).pop() else { return Vec::new() };
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
    }

    /// Sends a signal to every process of a group.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        for pid in self.processes(name) {
            // One that has just ended is no failure.
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends a signal that processes are to act on to each one that a group has now, and wakes those that a terminal
    /// has stopped. The group is held still meanwhile, since a child that is being made would be missed. Only for a
    /// caller that the group cannot live without: it would stay frozen.
    pub(crate) fn tell(&self, name: &str, signal: Signal) {
        let group = self.v2.as_ref().map(|root| root.join(&self.parent).join(name));
        let frozen = group.filter(|group| freeze(group).is_ok());
        self.signal(name, signal);
        self.signal(name, Signal::CONT);
        if let Some(group) = frozen {
            let _ = std::fs::write(group.join("cgroup.freeze"), "0");
        }
    }

    /// Kills every process of a group.
    pub(crate) fn kill(&self, name: &str) {
        let at_once = self.v2.as_ref().map(|root| root.join(&self.parent).join(name).join("cgroup.kill"));
        if at_once.is_none_or(|file| std::fs::write(file, "1").is_err()) {
            self.signal(name, Signal::KILL);
        }
    }

    /// How often the kernel killed a process of the group for memory.
    pub(crate) fn out_of_memory_kills(&self, name: &str) -> u64 {
        let v1 =
            self.v1_root("memory").map(|root| root.join(&self.parent).join(name).join("memory.oom_control"));
        let v2 = self.v2.as_ref().map(|root| root.join(&self.parent).join(name).join("memory.events"));
        let kills = |file: PathBuf| -> Option<u64> {
            let text = std::fs::read_to_string(file).ok()?;
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
        };
        v1.and_then(kills).or_else(|| v2.and_then(kills)).unwrap_or(0)
    }

    /// The folder of the group that says when memory ran out, for [`out_of_memory_event`].
    pub(crate) fn memory_v1(&self, name: &str) -> Option<PathBuf> {
        Some(self.v1_root("memory")?.join(&self.parent).join(name))
    }

    /// Removes the groups of `name`; what is left in them must have been killed. Waits up to `deadline` for the
    /// kernel to let go of ended processes. A group that is gone is removed.
    pub(crate) fn remove(&self, name: &str, deadline: Duration) -> io::Result<()> {
        let until = Instant::now() + deadline;
        let mut folders = self.folders(name);
        folders.push(Path::new("/sys/fs/cgroup/systemd").join(&self.parent).join(name));
        for folder in folders {
            loop {
                match std::fs::remove_dir(&folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                        wait_a_moment();
                    }
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// Removes the instance's parent groups, which must be empty by now.
    pub(crate) fn remove_parents(&self) {
        let systemd = PathBuf::from("/sys/fs/cgroup/systemd");
        for root in self.v1.iter().map(|(root, _)| root).chain(&self.v2).chain([&systemd]) {
            let _ = std::fs::remove_dir(root.join(&self.parent));
        }
    }

    /// The names of all groups of the instance.
    pub(crate) fn names(&self) -> Vec<String> {
        let root = self.v2.as_ref().or(self.v1.first().map(|(root, _)| root));
        let entries = root.and_then(|root| std::fs::read_dir(root.join(&self.parent)).ok());
        let folders = entries.into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// What a container is to see of its own groups.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let shown = |names: &[String]| names.iter().any(|name| SHOWN_CONTROLLERS.contains(&name.as_str()));
        let v1 = self.v1.iter().filter(|(_, names)| shown(names));
        let mut hierarchies: Vec<_> =
            v1.map(|(_, names)| Shown { folder: names.join(","), controllers: names.clone() }).collect();
        if self.v2.is_some() {
            let folder = if hierarchies.is_empty() { String::new() } else { "unified".to_owned() };
            hierarchies.push(Shown { folder, controllers: Vec::new() });
        }
        hierarchies
    }

    /// The group's folder in each hierarchy, version 2 last.
    fn folders(&self, name: &str) -> Vec<PathBuf> {
        let roots = self.v1.iter().map(|(root, _)| root).chain(&self.v2);
        roots.map(|root| root.join(&self.parent).join(name)).collect()
    }

    fn v1_root(&self, controller: &str) -> Option<&Path> {
        let holds = |names: &[String]| names.iter().any(|name| name == controller);
        self.v1.iter().find(|(_, names)| holds(names)).map(|(root, _)| root.as_path())
    }
}

/// Holds the processes of a version 2 group still; goes on without those that take too long for that.
fn freeze(group: &Path) -> io::Result<()> {
    std::fs::write(group.join("cgroup.freeze"), "1")?;
    let until = Instant::now() + FREEZE_PATIENCE;
    let is_frozen =
        || std::fs::read_to_string(group.join("cgroup.events")).map(|text| text.contains("frozen 1"));
    while Instant::now() < until && matches!(is_frozen(), Ok(false)) {
        wait_a_moment();
    }
    Ok(())
}

/// Two milliseconds, for loops that ask the kernel for a state it cannot be waited for.
pub(crate) fn wait_a_moment() {
    let moment = rustix::time::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
    let _ = rustix::event::poll(&mut [], Some(&moment));
}

fn write(folder: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    let path = folder.join(file);
    std::fs::write(&path, value.to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn limit_v1(folder: &Path, controller: &str, limits: &Limits) -> io::Result<()> {
    match controller {
        "memory" => {
            write(folder, "memory.limit_in_bytes", limits.memory_bytes)?;
            // Absent where swap is not counted; there is no swap to add then.
            let _ = write(folder, "memory.memsw.limit_in_bytes", limits.memory_bytes);
        }
        "cpu" => {
            write(folder, "cpu.cfs_period_us", CPU_PERIOD_MICROS)?;
            write(folder, "cpu.cfs_quota_us", cpu_quota_micros(limits))?;
            write(folder, "cpu.shares", (u64::from(limits.cpu_weight) * 1024 / 100).clamp(2, 262_144))?;
        }
        "pids" => write(folder, "pids.max", limits.pids)?,
        "devices" => {
            write(folder, "devices.deny", "a")?;
            for device in DEVICES {
                write(folder, "devices.allow", device)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn limit_v2(folder: &Path, limits: &Limits) -> io::Result<()> {
    // A file is missing where version 1 holds the controller.
    if folder.join("memory.max").exists() {
        write(folder, "memory.max", limits.memory_bytes)?;
        let _ = write(folder, "memory.swap.max", 0);
    }
    if folder.join("cpu.max").exists() {
        write(folder, "cpu.max", format!("{} {CPU_PERIOD_MICROS}", cpu_quota_micros(limits)))?;
        write(folder, "cpu.weight", limits.cpu_weight.clamp(1, 10_000))?;
    }
    if folder.join("pids.max").exists() {
        write(folder, "pids.max", limits.pids)?;
    }
    Ok(())
}

/// CPU time per period; the kernel takes no less than a millisecond.
fn cpu_quota_micros(limits: &Limits) -> u64 {
    (u64::from(limits.cpu_millicores) * CPU_PERIOD_MICROS / 1000).max(1000)
}

/// A descriptor that becomes readable when memory runs out in a version 1 group.
pub(crate) fn out_of_memory_event(folder: &Path) -> io::Result<(std::os::fd::OwnedFd, std::fs::File)> {
    use rustix::event::{EventfdFlags, eventfd};
    use std::os::fd::AsRawFd;
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = std::fs::File::open(folder.join("memory.oom_control"))?;
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    std::fs::write(folder.join("cgroup.event_control"), line)?;
    Ok((event, control))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { memory_bytes: 512 << 20, cpu_millicores: 250, cpu_weight: 100, pids: 256 };

    fn written(files: &[&str], limit: impl FnOnce(&Path)) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        limit(folder.path());
        files.iter().map(|file| std::fs::read_to_string(folder.path().join(file)).unwrap()).collect()
    }

    #[test]
    fn version_2_gets_the_same_limits_as_version_1() {
        let files = ["memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max"];
        let v2 = written(&files, |folder| limit_v2(folder, &LIMITS).unwrap());
        assert_eq!(v2, ["536870912", "0", "25000 100000", "100", "256"]);
        let files =
            ["memory.limit_in_bytes", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.shares", "pids.max"];
        let v1 = written(&files, |folder| {
            for controller in ["memory", "cpu", "pids"] {
                limit_v1(folder, controller, &LIMITS).unwrap();
            }
        });
        assert_eq!(v1, ["536870912", "100000", "25000", "1024", "256"]);
    }

    #[test]
    fn a_container_sees_the_hierarchies_that_limit_it_as_the_host_has_them() {
        let shown = |v1: &[&[&str]], v2: bool| -> Vec<(String, usize)> {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let cgroups = Cgroups {
                v1: v1.iter().map(|group| (PathBuf::from("/x"), names(group))).collect(),
                v2: v2.then(|| PathBuf::from("/y")),
                v2_options: String::new(),
                parent: String::new(),
            };
            cgroups.shown().into_iter().map(|shown| (shown.folder, shown.controllers.len())).collect()
        };
        assert_eq!(shown(&[], true), [(String::new(), 0)]);
        let hybrid = shown(&[&["cpu", "cpuacct"], &["devices"], &["memory"]], true);
        assert_eq!(
            hybrid,
            [("cpu,cpuacct".to_owned(), 2), ("memory".to_owned(), 1), ("unified".to_owned(), 0)]
        );
        assert_eq!(shown(&[&["devices"]], true), [(String::new(), 0)], "devices alone limit nothing");
        assert_eq!(shown(&[&["pids"]], false), [("pids".to_owned(), 1)]);
    }

    #[test]
    fn limits_of_absent_controllers_are_left_out() {
        assert_eq!(written(&[], |folder| limit_v2(folder, &LIMITS).unwrap()), Vec::<String>::new());
    }
}
