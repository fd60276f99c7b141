//! Programs of others that bring images to registries and take them from there, and a registry of others.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use paddock_testkit::port::Port;
use tempfile::TempDir;

use crate::outcome::{Outcome, run};
use crate::wait::wait_until;

/// skopeo, buildah and podman with a storage, settings and passwords of their own.
#[derive(Debug)]
pub struct ImageClients {
    folder: TempDir,
}

impl Default for ImageClients {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageClients {
    /// Ones that know nothing.
    ///
    /// # Panics
    /// When their folder cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("paddock-images-").unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("policy.json", "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}");
        // podman's locks would be the machine's otherwise.
        write("containers.conf", "[engine]\nlock_type = \"file\"\nevents_logger = \"none\"\n");
        write("registries.conf", "unqualified-search-registries = []\n");
        write("auth.json", "{}");
        Self { folder }
    }

    /// Where tests may put things.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, program: &str) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", folder);
        command.env("XDG_RUNTIME_DIR", folder).env("REGISTRY_AUTH_FILE", folder.join("auth.json"));
        command.env("CONTAINERS_CONF", folder.join("containers.conf"));
        command.env("CONTAINERS_REGISTRIES_CONF", folder.join("registries.conf")).current_dir(folder);
        command
    }

    /// Runs skopeo.
    #[must_use]
    pub fn skopeo(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command("skopeo");
        command.arg("--policy").arg(self.folder.path().join("policy.json")).args(arguments);
        run(command, b"", Duration::from_secs(120))
    }

    /// Runs buildah; `arguments` begin with its command.
    #[must_use]
    pub fn buildah(&self, arguments: &[&str]) -> Outcome {
        run(self.with_storage("buildah", arguments), b"", Duration::from_secs(120))
    }

    /// Runs podman, with a password on its standard input where it asks for one.
    #[must_use]
    pub fn podman(&self, arguments: &[&str], password: &str) -> Outcome {
        let mut command = self.with_storage("podman", &[]);
        command.arg("--tmpdir").arg(self.folder.path().join("podman")).args(arguments);
        run(command, password.as_bytes(), Duration::from_secs(120))
    }

    fn with_storage(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(program);
        command.args(["--storage-driver", "vfs"]);
        command.arg("--root").arg(self.folder.path().join("storage"));
        command.arg("--runroot").arg(self.folder.path().join("run")).args(arguments);
        command
    }

    /// The argument by which they take any image.
    #[must_use]
    pub fn policy(&self) -> String {
        format!("--signature-policy={}", self.folder.path().join("policy.json").display())
    }
}

/// Debian's `docker-registry`, for as long as a test lasts.
#[derive(Debug)]
pub struct OtherRegistry {
    program: Child,
    port: Port,
    _folder: TempDir,
}

impl OtherRegistry {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        let (port, folder) = (Port::take(), TempDir::with_prefix("paddock-registry-").unwrap());
        let settings = folder.path().join("config.yml");
        let root = folder.path().display();
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n\
             http: {{addr: '127.0.0.1:{}'}}\n",
            port.number()
        );
        fs::write(&settings, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let program = command.spawn().expect("docker-registry is installed: bin/packages test");
        wait_until("docker-registry", Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", port.number())).ok()
        });
        Self { program, port, _folder: folder }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }
}

impl Drop for OtherRegistry {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
