//! What runs: the server, its router, who they are, and what servers that are gone left behind.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use paddock_ipc::admin::{self, AdminAnswer, AdminRequest};

use super::Finding;
use crate::commands::stop::not_running;
use crate::id_range;
use crate::instance::Instance;
use crate::paths::Paths;
use crate::router_process::holder_of;

const PATIENCE: Duration = Duration::from_secs(10);
/// Letters of an instance.
const LETTERS: usize = 6;

/// What the kernel says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: u32,
    uid: u32,
    has_capabilities: bool,
}

pub(super) fn check(paths: &Paths, instance: &Instance, listen: SocketAddr) -> Vec<Finding> {
    let mut findings = Vec::new();
    let processes = processes();
    // A folder in which no server has run has no users of its own yet: they may be another server's.
    let has_users = id_range::kept(&paths.data).is_ok_and(|range| range.is_some());
    let router = processes.iter().find(|process| has_users && process.uid == instance.router_uid());
    let is_running = server(paths, &mut findings);
    match router {
        Some(router) if router.has_capabilities => {
            let detail = format!("process {} has capabilities", router.pid);
            let remedy =
                format!("Stop it and start anew: paddockd stop --stop-dynos --data {}", paths.data.display());
            findings.push(Finding::problem("router", detail, remedy));
        }
        Some(router) => {
            let detail = format!("process {}, uid {}, no capabilities", router.pid, router.uid);
            findings.push(Finding::ok("router", detail));
        }
        None if is_running => {
            let remedy =
                "The server starts it again within seconds; if not, see its log and DIR/router/start.log";
            findings.push(Finding::problem("router", "none runs: no app answers", remedy));
        }
        None => findings.push(port(listen)),
    }
    findings.extend(wrong_users(&processes, instance));
    findings
}

/// Whether a server runs, and how it is.
fn server(paths: &Paths, findings: &mut Vec<Finding>) -> bool {
    let data = paths.data.display();
    match admin::ask(&paths.admin_socket(), &AdminRequest::Status, PATIENCE) {
        Ok((AdminAnswer::Status { pid, version, problems }, _)) => {
            findings.push(Finding::ok("server", format!("process {pid}, version {version}")));
            if version != env!("CARGO_PKG_VERSION") {
                let detail = format!("the server is {version}, this program {}", env!("CARGO_PKG_VERSION"));
                let remedy = "Restart the server to run the newer one: dynos and router go on meanwhile";
                findings.push(Finding::note("versions", detail, remedy));
            }
            for problem in problems {
                let remedy =
                    "It is tried again by itself; should it stay, the server's log has the whole story";
                findings.push(Finding::problem("server", problem, remedy));
            }
            true
        }
        Ok((AdminAnswer::Refused { reason }, _)) => {
            findings.push(Finding::problem("server", reason, "Run doctor as root"));
            true
        }
        Ok((other, _)) => {
            let remedy = "Restart the server with the program that doctor is of";
            findings.push(Finding::problem(
                "server",
                format!("answers what does not fit: {other:?}"),
                remedy,
            ));
            true
        }
        Err(error) if not_running(&error) => {
            let remedy = format!("Start it: paddockd serve --data {data}, or: systemctl start paddockd");
            findings.push(Finding::note("server", "not running", remedy));
            false
        }
        Err(error) => {
            let remedy =
                "Kill the process in DIR/serve.lock and start it again: dynos and router go on meanwhile";
            findings.push(Finding::problem("server", format!("does not answer: {error}"), remedy));
            true
        }
    }
}

/// Whether a server could have its port; asked only when neither it nor its router runs.
fn port(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok("port", format!("{listen} is free")),
        Err(error) => {
            let holder = holder_of(listen.port())
                .map_or_else(|| error.to_string(), |holder| format!("taken by {holder}"));
            let remedy = "End that process, or choose another address: paddockd serve --listen ADDR";
            Finding::problem("port", format!("{listen}: {holder}"), remedy)
        }
    }
}

/// Only the server and shims are root's; git has no capabilities.
fn wrong_users(processes: &[Process], instance: &Instance) -> Vec<Finding> {
    let of_git =
        processes.iter().filter(|process| process.uid == instance.git_uid() && process.has_capabilities);
    of_git
        .map(|process| {
            let detail = format!("process {} of git has capabilities", process.pid);
            Finding::problem("users", detail, format!("kill {}; nothing of ours starts git so", process.pid))
        })
        .collect()
}

fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            process(pid, &status)
        })
        .collect()
}

/// Reads `/proc/PID/status`.
fn process(pid: u32, status: &str) -> Option<Process> {
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    let uid = field("Uid:")?.parse().ok()?;
    let capabilities = u64::from_str_radix(field("CapEff:")?, 16).ok()?;
    Some(Process { pid, uid, has_capabilities: capabilities != 0 })
}

/// Rules in the kernel of instances that have no process any more: what a killed server left.
pub(super) fn other_instances(ours: Option<&str>) -> Vec<Finding> {
    #[expect(clippy::disallowed_methods, reason = "the doctor looks at this machine")]
    let listed = Command::new("nft").args(["list", "tables"]).stdin(Stdio::null()).output();
    let tables =
        listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let found = instances(&tables);
    let alive = instances_with_processes(Path::new("/proc"), &found);
    let mut findings = Vec::new();
    for letters in found.iter().filter(|letters| Some(letters.as_str()) != ours) {
        if alive.contains(letters) {
            findings.push(Finding::ok("other instance", format!("{letters} runs on this machine, too")));
        } else {
            let detail = format!(
                "{letters} has rules in the kernel and no process: its server was killed, or is stopped"
            );
            let remedy = "If its data folder is still there: paddockd stop --stop-dynos --data DIR. If it is not: nft delete \
                          table inet paddock_LETTERS, and remove the links and cgroups with these letters";
            findings.push(Finding::note("leftovers", detail, remedy));
        }
    }
    findings
}

/// The letters in a list of tables.
fn instances(tables: &str) -> BTreeSet<String> {
    let letters = |line: &str| {
        let name = line.split_whitespace().last()?.strip_prefix("paddock_")?;
        let is_ours = name.len() == LETTERS && name.bytes().all(|c| c.is_ascii_lowercase());
        is_ours.then(|| name.to_owned())
    };
    tables.lines().filter_map(letters).collect()
}

/// Which of these instances have a process in a cgroup of theirs.
fn instances_with_processes(proc: &Path, wanted: &BTreeSet<String>) -> BTreeSet<String> {
    let mut alive = BTreeSet::new();
    for entry in std::fs::read_dir(proc).into_iter().flatten().flatten() {
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        alive.extend(wanted.iter().filter(|letters| groups.contains(letters.as_str())).cloned());
    }
    alive
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn processes_and_instances_are_read() {
        let status = "Name:\tpaddockd\nUid:\t268500993\t268500993\t1\t1\nCapEff:\t0000000000000000\n";
        let router = process(7, status).unwrap();
        assert_eq!((router.uid, router.has_capabilities), (268_500_993, false));
        assert!(process(7, &status.replace("0000\n", "0001\n")).unwrap().has_capabilities);
        let tables = "table ip filter\ntable inet paddock_abcdef\ntable inet paddock_toolong\ntable inet paddock_ABCDEF\n";
        assert_eq!(instances(tables), ["abcdef".to_owned()].into());
    }

    #[test]
    fn a_port_that_is_taken_names_its_holder() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let finding = port(address);
        assert_eq!(finding.verdict, Verdict::Problem);
        assert!(finding.detail.contains(&format!("process {}", std::process::id())), "{finding:?}");
        drop(holder);
        assert_eq!(port(address).verdict, Verdict::Ok);
    }
}
