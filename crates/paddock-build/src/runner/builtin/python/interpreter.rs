//! A Python, and which version it is.

use std::path::PathBuf;

use super::super::BuiltinBuild;
use super::super::semver::Version;
use crate::runner::session;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interpreter {
    pub(super) program: PathBuf,
    pub(super) version: Version,
}

impl Interpreter {
    /// The Python at a path, if one runs there.
    pub(super) fn at(build: &BuiltinBuild<'_>, program: PathBuf) -> Option<Self> {
        if !program.exists() {
            return None;
        }
        let mut command = build.build.session.plain(&program);
        command.args(["-I", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]);
        let captured = session::capture(command).ok().filter(|captured| captured.status.success())?;
        let version = Version::parse(String::from_utf8_lossy(&captured.stdout).trim())?;
        Some(Self { program, version })
    }
}
