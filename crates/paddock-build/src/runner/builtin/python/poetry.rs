//! Poetry: only builds have it, in a folder of HOME, and it installs into the app's environment.

use std::path::PathBuf;
use std::process::Command;

use super::{PythonBuild, shown, tool};
use crate::runner::builtin::{BuiltinBuild, cache_key};
use crate::runner::screen;
use crate::runner::stop::Stop;

/// The version that is installed. Source: what Heroku's buildpack pins.
pub(super) const VERSION: &str = "2.4.1";
/// Poetry knows no other place of the packages that a lock names none for: this has it ask another index.
const MIRROR_PLUGIN: &str = "poetry-plugin-pypi-mirror==0.6.5";
const MIRROR: &str = "POETRY_PYPI_MIRROR_URL";
/// Where it is, below HOME.
const FOLDER: &str = ".cache/python-poetry";
/// The name of what is saved of it.
const SAVED: &str = "python/poetry";
/// The setting by which Poetry and later buildpacks use the environment that there is.
pub(super) const SETTINGS: [(&str, &str); 2] =
    [("POETRY_VIRTUALENVS_CREATE", "false"), ("POETRY_VIRTUALENVS_USE_POETRY_PYTHON", "true")];

#[derive(Debug)]
pub(super) struct Poetry {
    folder: PathBuf,
    /// The index that is asked in place of the public one.
    mirror: Option<String>,
}

impl Poetry {
    pub(super) fn of(build: &BuiltinBuild<'_>) -> Self {
        let (config, site) = (build.build.config_vars, &build.build.plan.site_env);
        let mirror = [config.get(MIRROR), config.get("PIP_INDEX_URL"), site.get("PIP_INDEX_URL")];
        let mirror = mirror.into_iter().flatten().map(|address| address.trim().to_owned());
        Self {
            folder: build.build.home.join(FOLDER),
            mirror: mirror.into_iter().find(|address| !address.is_empty()),
        }
    }

    /// The folder with the program, for paths.
    pub(super) fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// Has it there: as an earlier build of the app kept it, else from the index.
    fn prepare(&self, python: &PythonBuild<'_>) -> Result<bool, Stop> {
        let mut requirements = vec![format!("poetry=={VERSION}")];
        requirements.extend(self.mirror.as_ref().map(|_| MIRROR_PLUGIN.to_owned()));
        let key = cache_key(&[
            requirements.join(" ").as_bytes(),
            python.interpreter.version.to_string().as_bytes(),
            python.interpreter.program.as_os_str().as_encoded_bytes(),
            python.build.build.plan.stack_version.as_bytes(),
        ]);
        if let Some(saved) = python.build.saved(SAVED, &key) {
            screen::step(&format!("Using cached Poetry {VERSION}"));
            python.build.unpack(&saved, &self.folder)?;
            return Ok(true);
        }
        screen::step(&format!("Installing Poetry {VERSION}"));
        if !tool::install(python, &self.folder, "poetry", &requirements)? {
            return Ok(false);
        }
        python.build.save(&self.folder, SAVED, &key)?;
        Ok(true)
    }

    pub(super) fn install(&self, python: &PythonBuild<'_>) -> Result<bool, Stop> {
        if !self.prepare(python)? {
            return Ok(false);
        }
        screen::step("Installing dependencies using 'poetry sync --only main'");
        let mut poetry = self.command(python);
        poetry.args(["sync", "--only", "main", "--no-ansi", "--no-interaction"]);
        shown(poetry)
    }

    fn command(&self, python: &PythonBuild<'_>) -> Command {
        let program = self.bin().join("poetry").display().to_string();
        let mut command = python.program(&program);
        if let Some(mirror) = &self.mirror {
            command.env(MIRROR, mirror);
        }
        command
    }

    /// Has it there for hooks and later buildpacks, when nothing had to be installed.
    pub(super) fn restore(&self, python: &PythonBuild<'_>) -> Result<(), Stop> {
        let is_there = self.bin().join("poetry").exists();
        let is_wanted = python.build.build_dir().join("bin/post_compile").exists()
            || python.build.build.plan.buildpacks.len() > 1;
        if is_wanted && !is_there {
            self.prepare(python)?;
        }
        Ok(())
    }
}
