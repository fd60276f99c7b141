//! The app's own programs around the build of a Python app: `bin/pre_compile` and `bin/post_compile`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::super::BuiltinBuild;
use super::{ENVIRONMENT, PythonBuild, shown};
use crate::runner::screen;
use crate::runner::stop::Stop;

/// Becomes the hook. A shell does that also for one without a first line that names its language, as it does on Heroku.
const RUN: &str = r#"exec "$1""#;

/// Runs a hook by its own first line, if the app has it. It sees the folders of the build as a buildpack does.
pub(super) fn run_plain(build: &BuiltinBuild<'_>, name: &str) -> Result<bool, Stop> {
    run_with(build, name, |_| ())
}

/// The same with the app's environment.
pub(super) fn run(python: &PythonBuild<'_>, name: &str) -> Result<bool, Stop> {
    run_with(python.build, name, |hook| {
        hook.env("PATH", python.build.path(&python.folders()))
            .env("VIRTUAL_ENV", python.environment())
            .envs(python.manager_settings().iter().copied());
    })
}

fn run_with(build: &BuiltinBuild<'_>, name: &str, add: impl FnOnce(&mut Command)) -> Result<bool, Stop> {
    let path = build.build_dir().join("bin").join(name);
    let Ok(metadata) = fs::metadata(&path) else { return Ok(true) };
    if !metadata.is_file() {
        return Ok(true);
    }
    screen::step(&format!("Running bin/{name} hook"));
    let mode = metadata.permissions().mode();
    fs::set_permissions(&path, PermissionsExt::from_mode(mode | 0o111))
        .map_err(Stop::io(format!("could not make bin/{name} executable")))?;
    build.build.cache.open(&build.build.session)?;
    let environment = build.build.home.join(ENVIRONMENT);
    let mut hook = build.program("/bin/bash");
    hook.args(["-c", RUN, "bash", &format!("bin/{name}")])
        .env("PATH", build.path(&[environment.join("bin")]))
        .env("BUILD_DIR", build.build_dir())
        .env("CACHE_DIR", build.build.cache.cache_dir())
        .env("ENV_DIR", &build.build.env_dir)
        .env("PYTHONUNBUFFERED", "1")
        .env("LANG", "C.UTF-8");
    add(&mut hook);
    let succeeded = shown(hook)?;
    if !succeeded {
        screen::warning(&format!("The app's bin/{name} hook failed."));
    }
    Ok(succeeded)
}
