//! `bin/install`, below a folder: what it puts there runs, an upgrade leaves settings alone, and it is taken away again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Outcome, Port, may_run, paddockd, run, wait_until};
use tempfile::TempDir;

fn install(root: &Path, arguments: &[&str]) -> Outcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/install");
    let mut command = Command::new(script);
    command.arg("--root").arg(root).args(arguments);
    run(command, b"", Duration::from_secs(120))
}

/// Takes away what a test that fails leaves running.
struct Installed(TempDir);

impl Drop for Installed {
    fn drop(&mut self) {
        let program = self.0.path().join("usr/local/bin/paddockd");
        if std::thread::panicking() && program.exists() {
            let mut stop = Command::new(program);
            stop.args(["stop", "--stop-dynos", "--data"]).arg(self.0.path().join("var/lib/paddock"));
            let _ = stop.status();
        }
    }
}

#[test]
fn what_is_installed_runs_and_goes_again() {
    if !may_run("install") {
        return;
    }
    let folder = TempDir::with_prefix("paddock-install-").unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
    let installed = Installed(folder);
    let root = installed.0.path();
    let program = paddockd().display().to_string();
    let port = Port::take();
    let options = format!("--listen 127.0.0.1:{}", port.number());
    install(root, &["--program", &program, "--options", &options])
        .succeeded()
        .saying("no service was enabled or started");
    let program_file = root.join("usr/local/bin/paddockd");
    let units = ["paddockd.service", "paddockd-backup.service", "paddockd-backup.timer"];
    let unit = |name: &str| root.join("etc/systemd/system").join(name);
    assert!(units.iter().all(|name| unit(name).exists()));
    assert_eq!(std::fs::metadata(&program_file).unwrap().permissions().mode() & 0o777, 0o755);
    let settings = root.join("etc/default/paddockd");
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), format!("PADDOCK_OPTIONS={options}\n"));
    let _ = install(root, &["--purge"]).failed_saying("--uninstall");

    // As the unit has it, with the folder's own data.
    let data = root.join("var/lib/paddock");
    let mut service = Command::new(&program_file);
    service.args(["serve", "--data"]).arg(&data).args(options.split(' '));
    let mut service = service.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&program_file);
        command.args(arguments).arg("--data").arg(&data);
        run(command, b"", Duration::from_secs(60))
    };
    ask(&["env", "--wait"]).succeeded();

    // An upgrade over a program that runs; the operator's settings stay.
    install(root, &["--program", &program, "--options", "--listen 0.0.0.0:80"])
        .succeeded()
        .saying("stays as it is");
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), format!("PADDOCK_OPTIONS={options}\n"));
    ask(&["account", "list"]).succeeded();

    install(root, &["--uninstall"]).succeeded().saying("are still there");
    wait_until("the server to have ended", Duration::from_secs(60), || service.try_wait().unwrap());
    assert!(!program_file.exists() && !units.iter().any(|name| unit(name).exists()));
    assert!(data.join("db/paddock.sqlite").exists() && settings.exists());
    assert!(std::net::TcpListener::bind(("127.0.0.1", port.number())).is_ok(), "the router has ended, too");

    install(root, &["--program", &program]).succeeded();
    install(root, &["--uninstall", "--purge"]).succeeded();
    assert!(!data.exists() && !settings.exists() && !program_file.exists());
    install(root, &["--uninstall"]).succeeded();
}
