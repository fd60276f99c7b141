//! `bin/quickstart` with a data folder and a port of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use paddock_testkit::port::Port;
use tempfile::TempDir;

use crate::killed_runs;
use crate::leftovers::{Leftovers, instance_letters};
use crate::outcome::{Outcome, run};
use crate::tools::paddockd;
use crate::wait::wait_until;

/// Dropped, it is taken down, and nothing may be left.
#[derive(Debug)]
pub struct Quickstart {
    folder: TempDir,
    port: Port,
}

impl Quickstart {
    /// A place for one; nothing runs yet.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a folder and a port are taken")]
    pub fn new() -> Quickstart {
        killed_runs::end_killed_runs_once(&paddockd());
        let folder = TempDir::with_prefix(killed_runs::FOLDER_PREFIX).unwrap();
        killed_runs::claim(folder.path());
        // Routers and git run as users of their own and must be able to pass.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        Quickstart { folder, port: Port::take() }
    }

    /// Where its server keeps everything.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where its server listens, on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The arguments that give it its place.
    #[must_use]
    pub fn place(&self) -> [String; 4] {
        let (data, listen) = (self.data().display().to_string(), format!("127.0.0.1:{}", self.port()));
        ["--data".to_owned(), data, "--listen".to_owned(), listen]
    }

    /// Runs the script with more arguments.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(root.join("bin/quickstart"));
        command.args(self.place()).args(arguments);
        run(command, b"", Duration::from_secs(600))
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
