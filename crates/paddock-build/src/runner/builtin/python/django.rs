//! Django's static files. Source: what the classic buildpack does, `docs/contract/buildpacks.md`, section 5.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PythonBuild;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

/// How deep `manage.py` is looked for.
const DEPTH_MAX: usize = 2;
/// An older way to have none of this.
const DISABLED: &str = ".heroku/collectstatic_disabled";

/// Runs `manage.py collectstatic` in a Django app that wants it.
pub(super) fn collect_static(python: &PythonBuild<'_>) -> Result<bool, Stop> {
    let build_dir = python.build.build_dir();
    if build_dir.join(DISABLED).is_file() {
        screen::step(&format!("Skipping Django collectstatic since the file '{DISABLED}' exists."));
        screen::warning(&format!(
            "Warning: The {DISABLED} file is deprecated.\n\n\
             Please remove the file and set the env var DISABLE_COLLECTSTATIC=1 instead."
        ));
        return Ok(true);
    }
    if python.build.config_var("DISABLE_COLLECTSTATIC").is_some_and(|value| !matches!(value, "" | "0")) {
        screen::step("Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set.");
        return Ok(true);
    }
    if !python.has_package("django") {
        return Ok(true);
    }
    let Some(manage) = find_manage(build_dir) else {
        screen::step("Skipping Django collectstatic since no manage.py file found.");
        return Ok(true);
    };
    if !has_command(python, &manage)? {
        screen::step("Skipping Django collectstatic since the staticfiles app is not installed.");
        return Ok(true);
    }
    let shown = manage.display();
    screen::step(&format!("$ python {shown} collectstatic --noinput"));
    let mut collect = command(python, &manage);
    collect.args(["collectstatic", "--noinput", "--traceback"]);
    let succeeded = super::shown(collect)?;
    if !succeeded {
        screen::warning(&format!(
            "Error: Unable to generate Django static files.\n\n\
             The 'python {shown} collectstatic --noinput' Django\n\
             management command to generate static files failed.\n\n\
             See the traceback above for details.\n\n\
             You may need to update application code to resolve this error.\n\
             Or, you can disable collectstatic for this application:\n\n   $ heroku config:set DISABLE_COLLECTSTATIC=1\n\n\
             https://devcenter.heroku.com/articles/django-assets"
        ));
    }
    Ok(succeeded)
}

/// `python manage.py`, which finds the app's own modules.
fn command(python: &PythonBuild<'_>, manage: &Path) -> Command {
    let mut command = python.program("python");
    command.arg(manage).env("PYTHONPATH", ".");
    command
}

/// Whether the app has the command at all. Any other problem shows when it is run.
fn has_command(python: &PythonBuild<'_>, manage: &Path) -> Result<bool, Stop> {
    let mut help = command(python, manage);
    help.args(["help", "collectstatic"]);
    let captured = session::capture(help).map_err(Stop::io("could not run manage.py"))?;
    let said = String::from_utf8_lossy(&captured.stderr);
    // Without settings Django knows its own commands alone: running it says what is amiss.
    let has_settings = !said.contains("No Django settings specified");
    Ok(captured.status.success() || !said.contains("Unknown command") || !has_settings)
}

/// The `manage.py` that is the least deep, below the app's folder.
fn find_manage(app: &Path) -> Option<PathBuf> {
    let mut level = vec![PathBuf::new()];
    for _ in 0..=DEPTH_MAX {
        let here = level.iter().map(|folder| folder.join("manage.py"));
        if let Some(found) = here.into_iter().find(|file| app.join(file).is_file()) {
            return Some(found);
        }
        level = level.iter().flat_map(|folder| folders(app, folder)).collect();
        level.sort();
    }
    None
}

/// The folders in a folder of the app, links left out.
fn folders(app: &Path, folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(app.join(folder)).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != ".heroku")
        .map(|entry| folder.join(entry.file_name()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_deep_manage_py_counts() {
        let app = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = app.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        let found = || find_manage(app.path()).map(|path| path.display().to_string());
        write("a/b/c/manage.py");
        write(".heroku/python/manage.py");
        assert_eq!(found(), None);
        write("a/b/manage.py");
        assert_eq!(found().as_deref(), Some("a/b/manage.py"));
        write("site/manage.py");
        assert_eq!(found().as_deref(), Some("site/manage.py"));
        write("manage.py");
        assert_eq!(found().as_deref(), Some("manage.py"));
    }
}
