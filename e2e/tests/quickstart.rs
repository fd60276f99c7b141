//! The README's two commands, as a newcomer types them.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Leftovers, Outcome, instance_letters, may_run, run, wait_until};

/// A quickstart with a data folder and port of its own; dropped, it is taken down.
struct Quickstart {
    folder: tempfile::TempDir,
    port: u16,
}

impl Quickstart {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(root.join("bin/quickstart"));
        command
            .arg("--data")
            .arg(self.data())
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(arguments);
        run(command, b"", Duration::from_secs(600))
    }

    fn page(&self) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--noproxy", "*", "--header", "Host: hello.paddock.localhost"]);
        command.arg(format!("http://127.0.0.1:{}/", self.port));
        run(command, b"", Duration::from_secs(30)).stdout
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let outcome = self.run(&["--down"]);
        if !std::thread::panicking() {
            assert_eq!(outcome.status, 0, "{}", outcome.text());
            wait_until("nothing to be left", Duration::from_secs(10), || {
                Leftovers::of(&instance_letters(&self.data()), &self.data()).is_empty().then_some(())
            });
        }
    }
}

#[test]
fn quickstart_deploys_the_sample_app_and_again_changes_nothing() {
    if !may_run("quickstart") {
        return;
    }
    let folder = tempfile::TempDir::with_prefix("paddock-e2e-").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let quickstart = Quickstart { folder, port };

    let first = quickstart.run(&[]).succeeded();
    let url = format!("http://hello.paddock.localhost:{port}/");
    for line in [url.as_str(), "remote: -----> ", "Released v3", "env --data", "--down"] {
        assert!(first.text().contains(line), "no {line:?} in\n{}", first.text());
    }
    assert!(!first.text().contains('\u{1b}'), "colours are for terminals only");
    assert!(quickstart.page().contains("Hello from Paddock"), "{}", quickstart.page());

    let second = quickstart.run(&[]).succeeded();
    assert!(second.text().contains("Everything up-to-date"), "{}", second.text());
    assert!(quickstart.page().contains("<b>web.1</b>"), "{}", quickstart.page());

    quickstart.run(&["--down"]).succeeded();
    assert_eq!(quickstart.page(), "", "nothing answers any more");
    quickstart.run(&[]).succeeded();
    assert!(quickstart.page().contains("Hello from Paddock"), "what was deployed runs again");
}
