//! Programs of a build: their environment, what earlier buildpacks exported, and where their output goes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::places::Places;
use super::{screen, stack};
use crate::plan::BuildPlan;

/// Sources what earlier buildpacks exported, then becomes the program. A constant: files and arguments come as
/// arguments, so no byte of theirs is read as shell text here. Source: `docs/contract/buildpacks.md`, section 5.3.
const SOURCE_AND_EXEC: &str = r#"while [ "$1" != -- ]; do
  source "$1" || { echo " !     An earlier buildpack's export failed"; exit 1; }
  shift
done
shift
exec "$@""#;

/// The most output that is kept of a program whose output is not shown, in bytes.
const CAPTURE_BYTES_MAX: u64 = 1024 * 1024;

/// What all programs of a build share.
#[derive(Debug, Clone)]
pub(super) struct Session {
    env: BTreeMap<String, String>,
    exports: Vec<PathBuf>,
}

/// How a captured program ended.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Session {
    /// The environment of `docs/contract/buildpacks.md`, section 4: exactly this, and what the operator adds.
    pub(super) fn new(plan: &BuildPlan, places: &Places) -> Self {
        let mut env = plan.site_env.clone();
        for (name, value) in [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("SOURCE_VERSION", plan.source_version.as_str()),
            ("REQUEST_ID", &plan.request_id),
            ("DYNO", "build.1"),
            ("BUILDPACK_LOG_FILE", "/dev/null"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        env.insert("HOME".to_owned(), places.home.display().to_string());
        let mut session = Self { env, exports: Vec::new() };
        let stack = stack::of_buildpacks(&plan.stack, || session.c_library());
        session.env.insert("STACK".to_owned(), stack);
        session
    }

    /// What the machine says of its C library, such as `glibc 2.36`.
    fn c_library(&self) -> String {
        let mut getconf = self.plain("getconf");
        getconf.arg("GNU_LIBC_VERSION");
        let said = capture(getconf).ok().map(|captured| captured.stdout).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The usual `PATH`.
    pub(super) fn path(&self) -> &str {
        self.env.get("PATH").map_or("", String::as_str)
    }

    /// Adds a buildpack's `export` to what later programs get.
    pub(super) fn add_export(&mut self, file: PathBuf) {
        self.exports.push(file);
    }

    /// A program with the plain environment: for `bin/detect`, `bin/release`, `bin/report` and our own steps.
    pub(super) fn plain(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.env).stdin(Stdio::null());
        command
    }

    /// A program that sees what earlier buildpacks exported: for `bin/compile`.
    pub(super) fn exported(&self, program: impl AsRef<OsStr>) -> Command {
        if self.exports.is_empty() {
            return self.plain(program);
        }
        let mut command = self.plain("/bin/bash");
        command.args(["-c", SOURCE_AND_EXEC, "bash"]).args(&self.exports).arg("--").arg(program);
        command
    }
}

/// Runs a program whose output and errors both go to the screen, in order.
pub(super) fn show(mut command: Command) -> io::Result<ExitStatus> {
    command.stdout(screen::descriptor()?).stderr(screen::descriptor()?).status()
}

/// The same, with seven spaces before each line.
pub(super) fn show_indented(mut command: Command) -> io::Result<ExitStatus> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds our ends of the pipe; without them the end of the program is the end of the pipe.
    drop(command);
    screen::copy_indented(reader)?;
    child.wait()
}

/// Runs a program and keeps what it says.
pub(super) fn capture(mut command: Command) -> io::Result<Captured> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().expect("standard output is piped");
    let stderr = child.stderr.take().expect("standard error is piped");
    let errors = std::thread::spawn(move || read_some(stderr));
    let stdout = read_some(stdout)?;
    let stderr = errors.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(Captured { status: child.wait()?, stdout, stderr })
}

fn read_some(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    (&mut from).take(CAPTURE_BYTES_MAX).read_to_end(&mut kept)?;
    io::copy(&mut from, &mut io::sink())?;
    Ok(kept)
}

/// Runs a helper of ours and says what it said when it fails.
pub(super) fn must(command: Command) -> io::Result<()> {
    let captured = capture(command)?;
    if captured.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&captured.stderr).trim().to_owned()))
}

/// Copies what is in a folder with `cp -a`, which keeps links, modes and times.
pub(super) fn copy_folder(session: &Session, from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    let mut command = session.plain("cp");
    command.args(["-a", "--reflink=auto", "--"]).arg(from.join(".")).arg(to);
    must(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ArchiveKind, Purpose};

    // buildpacks.md 4.4, 4.5, 4.6
    #[test]
    fn the_operators_variables_are_there_and_change_none_of_ours() {
        let site =
            [("CURL_TIMEOUT", "180"), ("NODE_EXTRA_CA_CERTS", "/ca.pem"), ("HOME", "/root"), ("PATH", "/x")];
        let plan = BuildPlan {
            purpose: Purpose::Slug,
            stack: "host".into(),
            stack_version: "1".into(),
            source_version: String::new(),
            request_id: "r".into(),
            build_name: "00000000".into(),
            archive: ArchiveKind::GitTar,
            submodules: Vec::new(),
            buildpacks: Vec::new(),
            insecure_buildpack_urls: false,
            has_cache: false,
            prepared: std::collections::BTreeMap::new(),
            site_env: site.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let session = Session::new(&plan, &Places::container());
        let command = session.plain("env");
        let value = |name: &str| {
            let found = command.get_envs().find(|(found, _)| *found == name);
            found.and_then(|(_, value)| value).map(|value| value.to_string_lossy().into_owned())
        };
        assert_eq!(value("CURL_TIMEOUT").as_deref(), Some("180"));
        assert_eq!(value("NODE_EXTRA_CA_CERTS").as_deref(), Some("/ca.pem"));
        assert_eq!(value("HOME").as_deref(), Some("/app"));
        assert!(value("PATH").is_some_and(|path| path.ends_with("/usr/bin:/sbin:/bin")));
        assert_eq!(value("PORT"), None);
    }
}
