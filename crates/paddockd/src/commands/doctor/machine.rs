//! The machine: kernel, programs, network, clock, disk.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Finding;

/// Free space below which builds begin to fail, in bytes.
const DISK_LOW: u64 = 5 * 1024 * 1024 * 1024;
/// A build's tree and its container have tens of thousands of files.
const INODES_LOW: u64 = 100_000;
/// No clock is right that says it is earlier than this: 2026-01-01.
const EARLIEST: u64 = 1_767_225_600;

pub(super) fn check() -> Vec<Finding> {
    let mut findings: Vec<_> = paddock_runtime_linux::check_host().into_iter().map(Finding::from).collect();
    for (name, package) in [("git", "git"), ("tar", "tar")] {
        findings.push(match which(name) {
            Some(path) => Finding::ok(name, path.display().to_string()),
            None => Finding::problem(name, "not found", format!("Install it: apt-get install {package}")),
        });
    }
    findings.push(bridge_filter());
    #[expect(clippy::disallowed_methods, reason = "the doctor looks at this machine")]
    findings.push(clock(SystemTime::now()));
    findings
}

/// Bytes and inodes that are free where the data folder is, or would be.
pub(super) fn disk(folder: &Path) -> Vec<Finding> {
    let stat = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat,
        Err(error) => {
            let detail = format!("{}: {error}", folder.display());
            return vec![Finding::problem("disk", detail, "Make the folder, or mount its disk")];
        }
    };
    let mut findings = vec![space(folder, stat.f_bavail.saturating_mul(stat.f_frsize))];
    // Some file systems have as many as there is room for, and say 0.
    if stat.f_files > 0 {
        findings.push(inodes(folder, stat.f_favail));
    }
    if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let detail = format!("{} is on a disk that is mounted read-only", folder.display());
        let remedy = "Look at dmesg for errors of the disk, then: mount -o remount,rw MOUNTPOINT";
        findings.push(Finding::problem("disk is writable", detail, remedy));
    }
    findings
}

fn space(folder: &Path, free: u64) -> Finding {
    let detail = format!("{} MB free at {}", free / 1_000_000, folder.display());
    if free >= DISK_LOW {
        return Finding::ok("disk", detail);
    }
    let remedy = "Builds fail below 5 GB. Free some space (old apps: heroku apps:destroy; build caches: DIR/caches may be \
                  emptied while no build runs), or move the data folder to a larger disk with paddockd backup and restore";
    Finding::problem("disk", detail, remedy)
}

fn inodes(folder: &Path, free: u64) -> Finding {
    let detail = format!("{free} free at {}", folder.display());
    if free >= INODES_LOW {
        return Finding::ok("inodes", detail);
    }
    let remedy = "Many small files fill this disk: empty DIR/caches while no build runs, or move the data folder to a file \
                  system with more inodes";
    Finding::problem("inodes", detail, remedy)
}

/// With it on, packets between dynos and the router pass the rules for forwarded packets of every other firewall.
fn bridge_filter() -> Finding {
    let name = "bridge-nf-call-iptables";
    let value = std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
    match value.as_deref().map(str::trim) {
        Ok("1") => Finding::note(
            name,
            "on: other firewalls also see packets between dynos and the bridge",
            "Should dynos not reach each other's attached services or the router: sysctl net.bridge.bridge-nf-call-iptables=0",
        ),
        Ok(_) => Finding::ok(name, "off"),
        Err(_) => Finding::ok(name, "not loaded"),
    }
}

fn clock(now: SystemTime) -> Finding {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let shown = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let detail = shown.map_or_else(|| seconds.to_string(), |time| time.to_string());
    if seconds >= EARLIEST {
        return Finding::ok("clock", detail);
    }
    let remedy = "Set it, and keep it right: apt-get install systemd-timesyncd (tokens, certificates and logs depend on it)";
    Finding::problem("clock", detail, remedy)
}

fn which(program: &str) -> Option<PathBuf> {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|folder| PathBuf::from(folder).join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn too_little_room_and_a_wrong_clock_are_problems_with_remedies() {
        let at = Path::new("/data");
        assert_eq!(space(at, DISK_LOW).verdict, Verdict::Ok);
        assert_eq!(inodes(at, INODES_LOW).verdict, Verdict::Ok);
        assert_eq!(clock(SystemTime::now()).verdict, Verdict::Ok);
        for finding in [space(at, DISK_LOW - 1), inodes(at, 99), clock(UNIX_EPOCH)] {
            assert_eq!(finding.verdict, Verdict::Problem);
            assert!(!finding.remedy.is_empty(), "{finding:?}");
        }
    }
}
