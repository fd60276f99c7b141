//! uv: it makes environments and installs packages. The stack's own when there is one, else a pinned version that
//! pip fetches once for an app.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::BuiltinBuild;
use super::version::{self, Interpreter};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// The version that is fetched.
const VERSION: &str = "0.13.8";
/// Where a fetched Python lies, below HOME and below BUILD_DIR.
const TOOLCHAIN: &str = ".heroku/python-toolchain";
/// The name of a saved Python in the cache.
const SAVED: &str = "python/toolchain";

/// The program.
pub(super) struct Uv {
    program: PathBuf,
}

/// Finds or fetches uv; `None` when it cannot be had, which the user has been told.
pub(super) fn find(build: &BuiltinBuild<'_>) -> Result<Option<Uv>, Stop> {
    let stacks = PathBuf::from("/usr/bin/uv");
    if stacks.is_file() {
        return Ok(Some(Uv { program: stacks }));
    }
    if let Some(program) = build.build.cache.find(&format!("python/uv-{VERSION}/bin/uv")) {
        screen::step(&format!("Using cached uv {VERSION}"));
        return Ok(Some(Uv { program }));
    }
    screen::step(&format!("Installing uv {VERSION}"));
    let cache = build.cache("python")?;
    let folder = cache.join(format!("uv-{VERSION}"));
    let next = cache.join("uv.next");
    remove_any(&next).map_err(Stop::io("could not prepare uv's folder"))?;
    let mut pip = build.build.session.plain("/usr/bin/python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--target"])
        .arg(&next)
        .arg(format!("uv=={VERSION}"));
    let installed = session::capture(pip);
    match installed {
        Ok(captured) if captured.status.success() && next.join("bin/uv").is_file() => {
            fs::rename(&next, &folder).map_err(Stop::io("could not keep uv"))?;
            Ok(Some(Uv { program: folder.join("bin/uv") }))
        }
        Ok(captured) => {
            screen::warning(
                "uv could not be installed with pip: the stack needs python3 and python3-pip, and a package index\n\
                 that can be reached (the operator can name one in PIP_INDEX_URL).",
            );
            screen::detail(&String::from_utf8_lossy(&captured.stderr));
            Ok(None)
        }
        Err(error) => {
            screen::warning(&format!(
                "This stack has no python3 in /usr/bin ({error}): its operator has to install it."
            ));
            Ok(None)
        }
    }
}

impl Uv {
    /// Part of what caches are keyed by.
    pub(super) fn version(&self) -> &'static str {
        if self.program.starts_with("/usr") { "the stack's" } else { VERSION }
    }

    /// uv with settings that make equal inputs equal results.
    pub(super) fn command(&self, build: &BuiltinBuild<'_>) -> Command {
        let mut command = build.program(&self.program.display().to_string());
        command
            .env("UV_CACHE_DIR", build.build.home.join(".cache/uv"))
            // The cache goes with the build, so nothing is shared with it; it is on another mount than the slug.
            .env("UV_LINK_MODE", "copy")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("UV_NO_PROGRESS", "1")
            // Times of files do not survive packing: compiled files must be valid without them.
            .env("UV_COMPILE_BYTECODE", "1")
            .env("PYC_INVALIDATION_MODE", "UNCHECKED_HASH")
            .env("LANG", "C.UTF-8");
        command
    }

    /// Fetches a Python that the stack does not have, into the slug; `None` when it cannot be had.
    pub(super) fn install_python(
        &self,
        build: &BuiltinBuild<'_>,
        wanted: &str,
    ) -> Result<Option<Interpreter>, Stop> {
        let (link, target) = (build.build.home.join(TOOLCHAIN), build.build_dir().join(TOOLCHAIN));
        let prepare = || {
            fs::create_dir_all(&target)?;
            fs::create_dir_all(link.parent().expect("the toolchain lies in a folder of HOME"))?;
            std::os::unix::fs::symlink(&target, &link)
        };
        prepare().map_err(Stop::io("could not make the toolchain's folder"))?;
        let key = format!("{wanted} {VERSION}");
        if let Some(saved) = build.saved(SAVED, &key) {
            build.unpack(&saved, &target)?;
            return Ok(installed(build, &link, wanted));
        }
        screen::detail(&format!("Installing Python {wanted}"));
        let mut uv = self.command(build);
        uv.args(["python", "install", "--quiet", "--no-bin", "--install-dir"])
            .arg(&link)
            .arg(wanted)
            .env("UV_PYTHON_DOWNLOADS", "automatic");
        let captured = session::capture(uv).map_err(Stop::io("could not run uv"))?;
        let found = installed(build, &link, wanted);
        if !captured.status.success() || found.is_none() {
            screen::detail(&String::from_utf8_lossy(&captured.stderr));
            remove_any(&target)
                .and_then(|()| remove_any(&link))
                .map_err(Stop::io("could not remove the toolchain's folder"))?;
            return Ok(None);
        }
        build.save(&target, SAVED, &key)?;
        Ok(found)
    }
}

/// The Python that was installed below `folder`.
fn installed(build: &BuiltinBuild<'_>, folder: &Path, wanted: &str) -> Option<Interpreter> {
    let folders = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = folders
        .filter_map(|folder| version::interpreter(build, folder.join("bin/python3")))
        .filter(|found| found.version == wanted || found.version.starts_with(&format!("{wanted}.")))
        .collect();
    found.sort_by(|one, other| one.program.cmp(&other.program));
    found.pop()
}
