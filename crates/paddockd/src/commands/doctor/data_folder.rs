//! The data folder: who may read what in it, and whether what must be there is.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use paddock_control::backup;

use super::{Finding, certificate, machine};
use crate::data_dir::closed_to_others;
use crate::database::{note_file, sqlite_file};
use crate::paths::Paths;

/// What every SQLite database begins with.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Folders that nobody but us may enter.
const PRIVATE_FOLDERS: [&str; 9] =
    ["db", "keys", "layers", "logs", "outputs", "builds", "cli-tokens", "volumes", "databases"];
/// Files that nobody but us may read.
const PRIVATE_FILES: [&str; 5] =
    ["admin-password", "cli-token", "ca/ca.key", "ca/proxy-form/ca.key", "db/paddock.sqlite"];

pub(super) fn check(paths: &Paths, master_key: &Path) -> Vec<Finding> {
    let data = &paths.data;
    if !data.is_dir() {
        let detail = format!("{} is no folder", data.display());
        let remedy = format!("Check --data; a new server makes it: paddockd serve --data {}", data.display());
        return vec![Finding::problem("data folder", detail, remedy)];
    }
    let mut findings = vec![passable(data)];
    let on = paddock_runtime_linux::check_folder("data folder's file system", data);
    findings.push(Finding::from(on));
    findings.extend(machine::disk(data));
    if backup::is_unfinished(data) {
        let remedy = format!("Run it again: paddockd restore --from FILE --data {}", data.display());
        findings.push(Finding::problem("restore", "a restore was begun and has not ended", remedy));
    }
    findings.extend(modes(data));
    if let Ok(server) = std::fs::read_to_string(note_file(paths)) {
        findings.push(Finding::ok("database", format!("on a server: {}", server.trim())));
        findings.push(key(master_key));
    } else if sqlite_file(paths).exists() {
        findings.push(database(&sqlite_file(paths)));
        findings.push(key(master_key));
    } else {
        let detail = "no server has run here yet";
        let remedy = format!("Start one: paddockd serve --data {}", data.display());
        findings.push(Finding::note("database", detail, remedy));
    }
    #[expect(clippy::disallowed_methods, reason = "the doctor looks at this machine")]
    let now = jiff::Timestamp::now();
    let remedy =
        "Start the server: it issues a new one at its start, and a month before the end of the old one";
    let platform = data.join("router/tls/cert.pem");
    findings.extend(certificate::check("platform certificate", &platform, now, remedy));
    let remedy = "Remove DIR/ca and start the server again: it makes a new authority, which clients must be given anew \
                  (paddockd env)";
    findings.extend(certificate::check("local authority", &data.join("ca/ca.pem"), now, remedy));
    findings
}

/// The router and git run as users of their own and must get to their folders.
fn passable(data: &Path) -> Finding {
    let name = "data folder";
    match closed_to_others(&data.join("x")) {
        Ok(None) => Finding::ok(name, data.display().to_string()),
        Ok(Some(closed)) => {
            let closed = closed.display();
            let detail = format!("{closed} may be entered by its owner alone: router and git cannot pass");
            Finding::problem(name, detail, format!("chmod o+x {closed}"))
        }
        Err(error) => Finding::problem(name, format!("{}: {error}", data.display()), "Run doctor as root"),
    }
}

/// Who owns and may read what is ours alone.
fn modes(data: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let uid = rustix::process::geteuid().as_raw();
    for (name, allowed) in
        PRIVATE_FOLDERS.map(|name| (name, 0o700)).into_iter().chain(PRIVATE_FILES.map(|name| (name, 0o600)))
    {
        let path = data.join(name);
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        let (mode, shown) = (metadata.mode() & 0o7777, path.display());
        if mode & !allowed != 0 {
            let detail = format!("{shown} has mode {mode:04o}: others may read what is secret");
            findings.push(Finding::problem("modes", detail, format!("chmod {allowed:o} {shown}")));
        }
        if metadata.uid() != uid {
            let detail = format!("{shown} belongs to user {}, not to the server's", metadata.uid());
            findings.push(Finding::problem("owners", detail, format!("chown {uid} {shown}")));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("modes", "what is secret is the server's alone"));
    }
    findings
}

fn database(path: &Path) -> Finding {
    let mut magic = [0; 16];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if magic == *SQLITE_MAGIC => Finding::ok("database", path.display().to_string()),
        Ok(()) => Finding::problem("database", format!("{} is no database", path.display()), RESTORE),
        Err(error) => Finding::problem("database", format!("{}: {error}", path.display()), RESTORE),
    }
}

const RESTORE: &str =
    "Restore the newest backup into an empty folder: paddockd restore --from FILE --data DIR";

fn key(path: &Path) -> Finding {
    let (name, shown) = ("master key", path.display());
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let remedy = "Say where it is with --master-key-file, or bring it back from where it is kept: without it no \
                          secret can be read";
            return Finding::problem(name, format!("{shown}: {error}"), remedy);
        }
    };
    let mode = metadata.mode() & 0o7777;
    if metadata.len() != 32 {
        let detail = format!("{shown} has {} bytes instead of 32", metadata.len());
        return Finding::problem(name, detail, "Bring the right file back from where it is kept");
    }
    if mode & 0o077 != 0 {
        let detail = format!("{shown} has mode {mode:04o}: others may read it");
        let remedy = format!(
            "chmod 600 {shown}; if somebody may have read it: paddockd keys rotate --data-key --data DIR"
        );
        return Finding::problem(name, detail, remedy);
    }
    Finding::ok(name, shown.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Verdict;
    use super::*;

    fn problems(paths: &Paths) -> Vec<String> {
        let findings = check(paths, &paths.master_key());
        // How much room the machine of the test has is not its subject.
        let others =
            findings.into_iter().filter(|finding| !["disk", "inodes"].contains(&finding.name.as_str()));
        others.filter(|finding| finding.verdict == Verdict::Problem).map(|finding| finding.remedy).collect()
    }

    #[test]
    fn each_thing_that_is_broken_is_found_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
        let data = folder.path().join("data");
        let paths = Paths::new(data.clone());
        assert!(problems(&paths)[0].contains("paddockd serve --data"), "no folder");

        let mode = |name: &str, mode: u32| {
            std::fs::set_permissions(data.join(name), PermissionsExt::from_mode(mode)).unwrap();
        };
        for name in ["", "db", "keys", "ca"] {
            std::fs::create_dir_all(data.join(name)).unwrap();
        }
        for (name, bits) in [("", 0o711), ("db", 0o700), ("keys", 0o700)] {
            mode(name, bits);
        }
        std::fs::write(sqlite_file(&paths), "SQLite format 3\0 and more").unwrap();
        std::fs::write(paths.master_key(), [7; 32]).unwrap();
        std::fs::write(data.join("cli-token"), "HRKU-x").unwrap();
        for name in ["db/paddock.sqlite", "keys/master", "cli-token"] {
            mode(name, 0o600);
        }
        assert_eq!(problems(&paths), [""; 0]);

        for (name, bad, good, remedy) in [
            ("cli-token", 0o644, 0o600, "chmod 600"),
            ("db", 0o755, 0o700, "chmod 700"),
            ("keys/master", 0o640, 0o600, "chmod 600"),
            ("", 0o700, 0o711, "chmod o+x"),
        ] {
            mode(name, bad);
            let found = problems(&paths);
            assert!(found.len() == 1 && found[0].starts_with(remedy), "{name}: {found:?}");
            mode(name, good);
        }
        std::fs::write(paths.master_key(), [7; 31]).unwrap();
        assert!(problems(&paths)[0].contains("right file"));
        std::fs::remove_file(paths.master_key()).unwrap();
        assert!(problems(&paths)[0].contains("--master-key-file"));
        std::fs::write(paths.master_key(), [7; 32]).unwrap();
        std::fs::write(sqlite_file(&paths), "something else altogether").unwrap();
        assert!(problems(&paths)[0].contains("paddockd restore"));
        std::fs::create_dir(data.join(backup::STAGING)).unwrap();
        assert!(problems(&paths).iter().any(|remedy| remedy.starts_with("Run it again: paddockd restore")));
    }
}
