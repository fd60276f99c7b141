//! uv: it makes environments and installs packages. The stack's own when there is one, else a pinned version that
//! pip fetches once for an app.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::BuiltinBuild;
use super::super::semver::Version;
use super::interpreter::Interpreter;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// The version that is fetched.
const VERSION: &str = "0.13.8";
/// The newest minor version of Python 3 that it can fetch.
pub(super) const NEWEST_MINOR: u64 = 15;
/// What an app gets that names none. Source: the default of Heroku's buildpack.
pub(super) const DEFAULT_MINOR: u64 = 14;
/// Where a fetched Python lies, below HOME and below BUILD_DIR.
const TOOLCHAIN: &str = ".heroku/python-toolchain";
/// The name of a saved Python in the cache.
const SAVED: &str = "python/toolchain";

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

    /// Where it lies.
    pub(super) fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(Path::new("/usr/bin"))
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
            // What Python compiles by the way when it starts is of the other kind.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LANG", "C.UTF-8");
        command
    }

    /// Fetches the Python of a version, `3.13` or `3.13.2`, into the slug; or what uv said.
    pub(super) fn fetch_python(
        &self,
        build: &BuiltinBuild<'_>,
        version: &str,
    ) -> Result<Result<Interpreter, String>, Stop> {
        let (link, target) = place(build)?;
        if let Some(saved) = build.saved(SAVED, &key(version)) {
            build.unpack(&saved, &target)?;
            if let Some(found) = installed(build, &link) {
                return Ok(Ok(found));
            }
        }
        screen::detail(&format!("Installing Python {version}"));
        let got = self.install_python(build, version, &link, &target, true)?;
        if got.is_ok() {
            build.save(&target, SAVED, &key(version))?;
        }
        Ok(got)
    }

    /// Fetches the newest Python that a range allows, without insisting where there is no way to it.
    pub(super) fn try_python(
        &self,
        build: &BuiltinBuild<'_>,
        range: &str,
    ) -> Result<Result<Interpreter, String>, Stop> {
        let (link, target) = place(build)?;
        let got = self.install_python(build, range, &link, &target, false)?;
        if let Ok(found) = &got {
            let Version(major, minor, _) = found.version;
            build.save(&target, SAVED, &key(&format!("{major}.{minor}")))?;
        }
        Ok(got)
    }

    fn install_python(
        &self,
        build: &BuiltinBuild<'_>,
        request: &str,
        link: &Path,
        target: &Path,
        insists: bool,
    ) -> Result<Result<Interpreter, String>, Stop> {
        let mut uv = self.command(build);
        uv.args(["python", "install", "--no-bin", "--install-dir"])
            .arg(link)
            .arg(request)
            .env("UV_PYTHON_DOWNLOADS", "automatic");
        if !insists {
            uv.env("UV_HTTP_RETRIES", "1");
        }
        let captured = session::capture(uv).map_err(Stop::io("could not run uv"))?;
        match installed(build, link).filter(|_| captured.status.success()) {
            Some(found) => Ok(Ok(found)),
            None => {
                remove_any(target)
                    .and_then(|()| remove_any(link))
                    .map_err(Stop::io("could not remove the toolchain's folder"))?;
                Ok(Err(String::from_utf8_lossy(&captured.stderr).into_owned()))
            }
        }
    }
}

/// What a saved Python is kept by.
fn key(version: &str) -> String {
    format!("{version} {VERSION}")
}

/// Makes the place of a fetched Python: where it is reached now and when the app runs, and where it lies.
fn place(build: &BuiltinBuild<'_>) -> Result<(PathBuf, PathBuf), Stop> {
    let (link, target) = (build.build.home.join(TOOLCHAIN), build.build_dir().join(TOOLCHAIN));
    let make = || {
        remove_any(&target)?;
        fs::create_dir_all(&target)?;
        fs::create_dir_all(link.parent().expect("the toolchain lies in a folder of HOME"))?;
        remove_any(&link)?;
        std::os::unix::fs::symlink(&target, &link)
    };
    make().map_err(Stop::io("could not make the toolchain's folder"))?;
    Ok((link, target))
}

/// The Python that was installed below `folder`.
fn installed(build: &BuiltinBuild<'_>, folder: &Path) -> Option<Interpreter> {
    let folders = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        folders.filter_map(|folder| Interpreter::at(build, folder.join("bin/python3"))).collect();
    found.sort_by(|one, other| one.program.cmp(&other.program));
    found.pop()
}
