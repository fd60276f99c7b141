//! Routers whose server is gone: they go on answering, and hold their port.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::Finding;
use crate::paths::Paths;

/// A router, and the data folder that it was started for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Router {
    pid: u32,
    data: PathBuf,
}

/// Every router of this machine that no server looks after.
pub(super) fn orphans() -> Vec<Finding> {
    routers(Path::new("/proc")).iter().filter_map(finding).collect()
}

fn finding(router: &Router) -> Option<Finding> {
    let Router { pid, data } = router;
    let paths = Paths::new(data.clone());
    let data = data.display();
    if !paths.data.exists() {
        let detail = format!("process {pid} goes on, though the data folder {data} of its server is gone");
        return Some(Finding::note("orphan router", detail, format!("End it: kill {pid}")));
    }
    let lock = File::open(paths.serve_lock());
    if lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock))) {
        return None;
    }
    let detail = format!("process {pid} goes on with the dynos of {data}, and no server runs for it");
    let remedy = format!(
        "Start the server again: paddockd serve --data {data}; or end all of it: paddockd stop --stop-dynos --data {data}"
    );
    Some(Finding::note("orphan router", detail, remedy))
}

/// The processes that were started as routers, with the folder of the socket that they take orders by.
fn routers(proc: &Path) -> Vec<Router> {
    let sockets = std::fs::read_to_string(proc.join("net/unix")).unwrap_or_default();
    let sockets = control_sockets(&sockets);
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            if !line.starts_with(b"paddockd\0router\0") {
                return None;
            }
            let descriptors = std::fs::read_dir(entry.path().join("fd")).ok()?.flatten();
            let mut links = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
            let data = links.find_map(|link| sockets.get(link.to_str()?).cloned())?;
            Some(Router { pid, data })
        })
        .collect();
    found.sort_by_key(|router| router.pid);
    found
}

/// The data folders by what a descriptor of their router's socket is called.
fn control_sockets(table: &str) -> HashMap<String, PathBuf> {
    let socket = |line: &str| {
        let mut fields = line.split_whitespace();
        let inode = fields.nth(6)?;
        let path = Path::new(line.get(line.find(" /")? + 1..)?);
        let data = path.parent()?.parent()?;
        (Paths::new(data.to_owned()).router_socket() == path)
            .then(|| (format!("socket:[{inode}]"), data.to_owned()))
    };
    table.lines().skip(1).filter_map(socket).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_router_is_found_by_its_socket() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                     0000: 00000002 00000000 00010000 0001 01 4711 /var/lib/my data/run/router.sock\n\
                     0000: 00000002 00000000 00010000 0001 01 4712 /var/lib/data/run/serve.sock\n\
                     0000: 00000002 00000000 00010000 0001 01 4713\n";
        let sockets = control_sockets(table);
        assert_eq!(sockets, [("socket:[4711]".to_owned(), PathBuf::from("/var/lib/my data"))].into());

        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(proc.path().join("net")).unwrap();
        std::fs::write(proc.path().join("net/unix"), table).unwrap();
        for (pid, line) in
            [("12", "paddockd\0router\0"), ("13", "paddockd\0serve\0"), ("14", "paddockd\0router\0")]
        {
            let folder = proc.path().join(pid);
            std::fs::create_dir_all(folder.join("fd")).unwrap();
            std::fs::write(folder.join("cmdline"), line).unwrap();
            std::os::unix::fs::symlink("/dev/null", folder.join("fd/0")).unwrap();
        }
        std::os::unix::fs::symlink("socket:[4711]", proc.path().join("12/fd/4")).unwrap();
        std::os::unix::fs::symlink("socket:[4711]", proc.path().join("13/fd/4")).unwrap();
        assert_eq!(routers(proc.path()), [Router { pid: 12, data: "/var/lib/my data".into() }]);
    }

    #[test]
    fn a_router_without_a_server_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let router = Router { pid: 12, data: data.clone() };
        let gone = finding(&router).unwrap();
        assert_eq!((gone.verdict, gone.remedy.as_str()), (Verdict::Note, "End it: kill 12"));
        std::fs::create_dir(&data).unwrap();
        let stopped = finding(&router).unwrap();
        assert!(stopped.remedy.contains("paddockd stop --stop-dynos"), "{stopped:?}");
        let lock = File::create(Paths::new(data).serve_lock()).unwrap();
        lock.lock().unwrap();
        assert_eq!(finding(&router), None);
    }
}
