//! Pipenv: in the app's environment but apart from its packages, because Procfiles call `pipenv run`.

use std::path::PathBuf;

use super::{ENVIRONMENT, PythonBuild, shown, tool};
use crate::runner::screen;
use crate::runner::stop::Stop;

/// The version that is installed. Source: what Heroku's buildpack pins.
pub(super) const VERSION: &str = "2026.7.1";
/// Where its program is, below HOME.
pub(super) const BIN: &str = ".heroku/python/pipenv/bin";
/// The settings by which Pipenv uses the environment that there is, in builds and dynos alike.
pub(super) const SETTINGS: [(&str, &str); 2] = [("PIPENV_SYSTEM", "1"), ("PIPENV_VERBOSITY", "-1")];

fn folder(python: &PythonBuild<'_>) -> PathBuf {
    python.build.build.home.join(ENVIRONMENT).join("pipenv")
}

pub(super) fn prepare(python: &PythonBuild<'_>) -> Result<bool, Stop> {
    screen::step(&format!("Installing Pipenv {VERSION}"));
    tool::install(python, &folder(python), "pipenv", &[format!("pipenv=={VERSION}")])
}

pub(super) fn install(python: &PythonBuild<'_>) -> Result<bool, Stop> {
    screen::step("Installing dependencies using 'pipenv install --deploy'");
    let mut pipenv = python.program(&folder(python).join("bin/pipenv").display().to_string());
    pipenv
        .args(["install", "--deploy"])
        .env("PIPENV_NOSPIN", "1")
        .env("PIP_SRC", python.environment().join("src"))
        // Said of an option that forbids, "0" is its word for yes.
        .env("PIP_NO_COMPILE", "0");
    shown(pipenv)
}
