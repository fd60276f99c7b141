//! Django's static files. Source: what the classic buildpack does, `docs/contract/buildpacks.md`, section 5.

use std::fs;
use std::path::{Path, PathBuf};

use super::PythonBuild;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

/// How deep `manage.py` is looked for.
const DEPTH_MAX: usize = 2;

/// Runs `manage.py collectstatic` in a Django app that wants it.
pub(super) fn collect_static(python: &PythonBuild<'_>) -> Result<bool, Stop> {
    if !has_django(&python.in_slug()) {
        return Ok(true);
    }
    let Some(manage) = find_manage(python.build.build_dir(), 0) else {
        screen::step("Skipping Django collectstatic since no manage.py file found.");
        return Ok(true);
    };
    if python.build.config_var("DISABLE_COLLECTSTATIC").is_some_and(|value| !matches!(value, "" | "0")) {
        screen::step("Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set.");
        return Ok(true);
    }
    let shown = manage.strip_prefix(python.build.build_dir()).unwrap_or(&manage).display().to_string();
    if !has_command(python, &manage)? {
        screen::step("Skipping Django collectstatic since the staticfiles app is not installed.");
        return Ok(true);
    }
    screen::step(&format!("$ python {shown} collectstatic --noinput"));
    let mut collect = python.program("python");
    collect.arg(&manage).args(["collectstatic", "--noinput"]);
    let succeeded = super::shown(collect)?;
    if !succeeded {
        screen::warning(&format!(
            "Error while running '$ python {shown} collectstatic --noinput'.\nSee traceback above for details.\n\n\
             You may need to update application code to resolve this error.\n\
             Or, you can disable collectstatic for this application:\n\n   $ heroku config:set DISABLE_COLLECTSTATIC=1\n\n\
             https://devcenter.heroku.com/articles/django-assets"
        ));
    }
    Ok(succeeded)
}

fn has_django(environment: &Path) -> bool {
    let folders = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("site-packages/django")).any(|django| django.is_dir())
}

/// Whether the app has the command at all. Any other problem shows when it is run.
fn has_command(python: &PythonBuild<'_>, manage: &Path) -> Result<bool, Stop> {
    let mut help = python.program("python");
    help.arg(manage).args(["help", "collectstatic"]);
    let captured = session::capture(help).map_err(Stop::io("could not run manage.py"))?;
    let said = String::from_utf8_lossy(&captured.stderr);
    Ok(captured.status.success() || !said.contains("Unknown command"))
}

fn find_manage(folder: &Path, depth: usize) -> Option<PathBuf> {
    let here = folder.join("manage.py");
    if here.is_file() {
        return Some(here);
    }
    if depth == DEPTH_MAX {
        return None;
    }
    let mut folders: Vec<_> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != ".heroku")
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.iter().find_map(|folder| find_manage(folder, depth + 1))
}
