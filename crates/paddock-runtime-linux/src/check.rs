//! What this machine has of what containers need.

use std::path::Path;
use std::process::Stdio;

use rustix::mount::{FsOpenFlags, fsopen};
use rustix::thread::{CapabilitySet, capabilities};

use crate::cgroup::Cgroups;
use crate::host_check::HostCheck;
use crate::idmap::check_folder;
use crate::tool::tool;

/// Looks at this machine without changing it.
#[must_use]
pub fn check_host() -> Vec<HostCheck> {
    vec![
        privileges(),
        kernel_version(),
        file_system("overlay", "load the kernel module overlay"),
        file_system("erofs", "load the kernel module erofs"),
        file_system("ext4", "load the kernel module ext4"),
        user_namespaces(),
        // It is a layer of every dyno of the host stack.
        check_folder("/usr", Path::new("/usr")),
        cgroups(),
        program("ip", &["-V"], "install iproute2"),
        program("nft", &["-v"], "install nftables"),
        program("mkfs.erofs", &["--help"], "install erofs-utils (1.5 or newer)"),
        program("mkfs.ext4", &["-V"], "install e2fsprogs"),
        loop_devices(),
        forwarding(),
        other_firewall(),
    ]
}

fn privileges() -> HostCheck {
    let needed = [
        ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN),
        ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN),
        ("CAP_SETUID", CapabilitySet::SETUID),
        ("CAP_SETGID", CapabilitySet::SETGID),
        ("CAP_CHOWN", CapabilitySet::CHOWN),
        ("CAP_MKNOD", CapabilitySet::MKNOD),
        ("CAP_KILL", CapabilitySet::KILL),
        ("CAP_DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE),
    ];
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let missing: Vec<_> =
        needed.iter().filter(|(_, set)| !held.contains(*set)).map(|(name, _)| *name).collect();
    let detail =
        if missing.is_empty() { "all held".to_owned() } else { format!("missing {}", missing.join(", ")) };
    HostCheck { name: "privileges", ok: missing.is_empty(), detail, remedy: "run paddockd as root" }
}

/// Idmapped layers under overlay came with 5.19, overlays of more layers than an option has room for with 6.5, file-backed
/// EROFS with 6.12 (a loop device serves before).
fn kernel_version() -> HostCheck {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let images = if version >= (6, 12) { "images are mounted as files" } else { "images need loop devices" };
    let layers = if version >= (6, 5) { "" } else { ", and have 64 layers at most" };
    HostCheck {
        name: "kernel",
        ok: version >= (5, 19),
        detail: format!("{release}, {images}{layers}"),
        remedy: "use a kernel of version 5.19 or newer",
    }
}

fn file_system(name: &'static str, remedy: &'static str) -> HostCheck {
    let result = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC);
    let detail = result.as_ref().map_or_else(ToString::to_string, |_| "available".to_owned());
    HostCheck { name, ok: result.is_ok(), detail, remedy }
}

/// Each dyno's disk is an image on a loop device of its own.
fn loop_devices() -> HostCheck {
    let opened = std::fs::File::options().read(true).write(true).open("/dev/loop-control");
    let detail = opened.as_ref().map_or_else(ToString::to_string, |_| "available".to_owned());
    HostCheck { name: "loop devices", ok: opened.is_ok(), detail, remedy: "load the kernel module loop" }
}

fn user_namespaces() -> HostCheck {
    let most = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    let most: u64 = most.trim().parse().unwrap_or(0);
    HostCheck {
        name: "user namespaces",
        ok: most > 0,
        detail: format!("at most {most}"),
        remedy: "set user.max_user_namespaces above 0",
    }
}

fn cgroups() -> HostCheck {
    let controllers = Cgroups::detect("doctor").map(|cgroups| cgroups.controllers()).unwrap_or_default();
    let missing: Vec<_> = ["memory", "cpu", "pids"]
        .into_iter()
        .filter(|name| !controllers.iter().any(|has| has == name))
        .collect();
    let detail =
        if missing.is_empty() { controllers.join(", ") } else { format!("missing {}", missing.join(", ")) };
    HostCheck {
        name: "cgroups",
        ok: missing.is_empty(),
        detail,
        remedy: "mount cgroup2 (or the version 1 controllers) under /sys/fs/cgroup",
    }
}

fn program(name: &'static str, arguments: &[&str], remedy: &'static str) -> HostCheck {
    let run = tool(name).args(arguments).stdin(Stdio::null()).output();
    let detail = match &run {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().next().filter(|line| !line.is_empty()).unwrap_or("available").to_owned()
        }
        Err(error) => error.to_string(),
    };
    HostCheck { name, ok: run.is_ok(), detail, remedy }
}

/// Not wrong when it is off: the runtime switches it on.
fn forwarding() -> HostCheck {
    let switch = Path::new("/proc/sys/net/ipv4/ip_forward");
    let value = std::fs::read_to_string(switch);
    let detail = match value.as_deref().map(str::trim) {
        Ok("1") => "on".to_owned(),
        Ok(_) => "off; the runtime switches it on".to_owned(),
        Err(error) => error.to_string(),
    };
    HostCheck { name: "ip_forward", ok: value.is_ok(), detail, remedy: "set net.ipv4.ip_forward to 1" }
}

/// A chain of somebody else that drops what is forwarded also drops the containers' packets: whoever drops wins.
fn other_firewall() -> HostCheck {
    let listed = tool("nft").args(["list", "chains"]).stdin(Stdio::null()).output();
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let dropping = dropping_chains(&text);
    let detail = if dropping.is_empty() {
        "no other chain drops forwarded packets by default".to_owned()
    } else {
        format!("{} drops forwarded packets by default", dropping.join(", "))
    };
    HostCheck {
        name: "other firewall",
        ok: dropping.is_empty(),
        detail,
        remedy: "accept packets from and to the bridge (pk…) in that chain",
    }
}

/// The tables with a chain that drops forwarded packets by default, but for ours.
fn dropping_chains(listed: &str) -> Vec<String> {
    let (mut table, mut found) = ("", Vec::new());
    for line in listed.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches(" {");
        } else if line.contains("hook forward")
            && line.contains("policy drop")
            && !table.contains(" paddock_")
        {
            found.push(table.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_chains_that_drop_are_found() {
        let listed = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n\
                      table inet paddock_abcdef {\n\tchain forward {\n\t\ttype filter hook forward priority -10; policy drop;\n\t}\n}\n\
                      table inet other {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n\t}\n}\n";
        assert_eq!(dropping_chains(listed), ["ip filter"]);
    }
}
