//! The Python buildpack: the system's Python or one fetched by uv, packages by uv, Poetry or Pipenv, Django's static
//! files.
//!
//! The packages live in a virtual environment at `/app/.heroku/python`, which during the build is a link to
//! `BUILD_DIR/.heroku/python`: so paths that are written into scripts are those of run time.

mod checks;
mod choice;
mod django;
mod editable;
mod environment;
mod facts;
mod hooks;
mod interpreter;
mod manifest;
mod pip_settings;
mod pipenv;
mod pipfile;
mod poetry;
mod requirements;
mod specifier;
mod tool;
mod uv;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::facts::Facts;
use self::interpreter::Interpreter;
use self::manifest::{Manager, Manifest};
use self::pip_settings::PipSettings;
use self::poetry::Poetry;
use self::specifier::Specifiers;
use self::uv::Uv;
use self::version::Wanted;
use super::{BuiltinBuild, PLAIN, Row, profile};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

/// Where the environment is, below HOME and below BUILD_DIR.
const ENVIRONMENT: &str = ".heroku/python";
/// Files by which a Python app is known. Source: the classic buildpack's detection, but for single modules: one that
/// needs no packages runs without a list of them.
const FILES: [&str; 14] = [
    ".python-version",
    "Pipfile",
    "Pipfile.lock",
    "manage.py",
    "pdm.lock",
    "poetry.lock",
    "pyproject.toml",
    "requirements.txt",
    "runtime.txt",
    "setup.cfg",
    "setup.py",
    "uv.lock",
    ".venv/pyvenv.cfg",
    "venv/pyvenv.cfg",
];

pub(super) const ROW: Row = Row {
    detect,
    looks_for: "Error: your app is configured to use the Python buildpack, but there is no 'requirements.txt',\n\
                'uv.lock' or other Python file at its root.",
    compile,
    settle: |build| settle(&build.build_dir, &build.home),
    ..PLAIN
};

fn detect(build_dir: &Path) -> bool {
    FILES.iter().any(|name| build_dir.join(name).is_file()) || requirements::misspelt(build_dir).is_some()
}

/// After all buildpacks: the environment as dynos find it.
fn settle(build_dir: &Path, home: &Path) -> Result<(), Stop> {
    editable::settle(&build_dir.join(ENVIRONMENT), build_dir, home)
        .map_err(Stop::io("could not settle packages that are installed in place"))
}

/// One build of a Python app.
struct PythonBuild<'a> {
    build: &'a BuiltinBuild<'a>,
    manifest: Manifest,
    settings: PipSettings,
    interpreter: Interpreter,
    uv: Uv,
    /// For an app that is installed with it.
    poetry: Option<Poetry>,
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    // It may write the files that are read next.
    if !hooks::run_plain(build, "pre_compile")? {
        return Ok(false);
    }
    let read = read(build.build_dir());
    let (manifest, wanted) = match read {
        Ok(read) => read,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    let required = version::required(build.build_dir());
    let wanted = choice::or_last(build, wanted, required.as_ref());
    wanted.say(required.as_ref());
    let Some(uv) = uv::find(build)? else { return Ok(false) };
    let Some(interpreter) = choice::choose(build, &wanted, required.as_ref(), &uv)? else {
        return Ok(false);
    };
    let manager = manifest.manager();
    if manager == Some(Manager::Uv)
        && let Some(required) = &required
        && !required.contains(interpreter.version)
    {
        screen::warning(&does_not_fit(&wanted, required, &interpreter));
        return Ok(false);
    }
    if let Some(warning) = wanted.warning(manager, interpreter.version) {
        screen::warning(&warning);
    }
    choice::keep_last(build, &wanted, &interpreter)?;
    build.used("python", &interpreter.version);
    build.used("uv", &uv.version());
    if let Some(manager) = manager.filter(|manager| *manager != Manager::Uv) {
        build.used(&manager.name().to_lowercase(), &Facts::version(manager));
    }
    let settings = PipSettings::of(build);
    let poetry = (manager == Some(Manager::Poetry)).then(|| Poetry::of(build));
    PythonBuild { build, manifest, settings, interpreter, uv, poetry }.run()
}

/// What the app's files say, or what is wrong with them.
fn read(build_dir: &Path) -> Result<(Manifest, Wanted), String> {
    let manifest = Manifest::find(build_dir)?;
    if let Some(problem) = checks::refuse(build_dir) {
        return Err(problem);
    }
    let wanted = version::wanted(build_dir, &manifest)?;
    Ok((manifest, wanted))
}

fn does_not_fit(wanted: &Wanted, required: &Specifiers, got: &Interpreter) -> String {
    let asks = match wanted {
        Wanted::Version { file, .. } => format!("{file} asks for {}", wanted.text()),
        Wanted::Any | Wanted::Last { .. } => format!("this is Python {}", got.version),
    };
    format!(
        "pyproject.toml has requires-python = \"{required}\", and {asks}.\n\
         Change one of the two: a .python-version file names a version that the project runs on."
    )
}

impl PythonBuild<'_> {
    fn run(&self) -> Result<bool, Stop> {
        if !self.install()? {
            return Ok(false);
        }
        if let Some(poetry) = &self.poetry {
            poetry.restore(self)?;
        }
        if let Some(warning) = checks::of_nltk(self.build.build_dir(), self.has_package("nltk")) {
            screen::warning(warning);
        }
        if !django::collect_static(self)? {
            return Ok(false);
        }
        self.build.profile("python.sh", &self.profile())?;
        self.build.profile(profile::GUNICORN_NAME, profile::GUNICORN)?;
        self.build.profile(profile::CONCURRENCY_NAME, &profile::python_concurrency())?;
        self.build.export(&self.exported())?;
        hooks::run(self, "post_compile")
    }

    /// The folders of programs: the environment's, and that of the package manager where it is a program apart.
    fn folders(&self) -> Vec<PathBuf> {
        let manager = match self.manifest.manager() {
            None => None,
            Some(Manager::Uv) => Some(self.uv.folder().to_owned()),
            Some(Manager::Poetry) => self.poetry.as_ref().map(Poetry::bin),
            Some(Manager::Pipenv) => Some(self.build.build.home.join(pipenv::BIN)),
        };
        let usual = Path::new("/usr/bin");
        let manager = manager.filter(|folder| folder != usual);
        manager.into_iter().chain([self.environment().join("bin")]).collect()
    }

    /// Settings by which the package manager uses the app's environment.
    fn manager_settings(&self) -> &'static [(&'static str, &'static str)] {
        match self.manifest.manager() {
            Some(Manager::Poetry) => &poetry::SETTINGS,
            Some(Manager::Pipenv) => &pipenv::SETTINGS,
            Some(Manager::Uv) => &[("UV_PYTHON_DOWNLOADS", "never"), ("UV_LINK_MODE", "copy")],
            None => &[],
        }
    }

    /// What later buildpacks see.
    fn exported(&self) -> String {
        let folders =
            self.folders().iter().map(|folder| format!("{}:", folder.display())).collect::<String>();
        let mut text = format!("export PATH=\"{folders}$PATH\"\n");
        for (name, value) in self.manager_settings() {
            text += &format!("export {name}=\"{value}\"\n");
        }
        let environment = self.environment();
        match self.manifest.manager() {
            Some(Manager::Uv) => {
                text += &format!("export UV_PROJECT_ENVIRONMENT=\"{}\"\n", environment.display());
            }
            Some(Manager::Poetry | Manager::Pipenv) => {
                text += &format!("export VIRTUAL_ENV=\"{}\"\n", environment.display());
            }
            None => {}
        }
        text
    }

    /// What dynos see. Of the package managers only Pipenv is there.
    fn profile(&self) -> String {
        let mut text = profile::PYTHON.to_owned();
        if self.manifest.manager() == Some(Manager::Pipenv) {
            text += &format!("export PATH=\"$HOME/{}:$PATH\"\n", pipenv::BIN);
            for (name, value) in pipenv::SETTINGS {
                text += &format!("export {name}=\"{value}\"\n");
            }
            text += &format!("export VIRTUAL_ENV=\"$HOME/{ENVIRONMENT}\"\n");
        }
        text
    }

    /// Whether the app's environment has a package.
    fn has_package(&self, name: &str) -> bool {
        let folders = fs::read_dir(self.in_slug().join("lib")).into_iter().flatten().flatten();
        folders.map(|folder| folder.path().join("site-packages").join(name)).any(|package| package.is_dir())
    }

    /// Where the environment will be when the app runs, and can be reached now.
    fn environment(&self) -> PathBuf {
        self.build.build.home.join(ENVIRONMENT)
    }

    /// Where it is in the slug.
    fn in_slug(&self) -> PathBuf {
        self.build.build_dir().join(ENVIRONMENT)
    }

    /// A program with the environment in its path. Nothing that it imports leaves compiled files in the slug: they
    /// would differ from build to build.
    fn program(&self, name: &str) -> Command {
        let mut command = self.build.program(name);
        command
            .env("PATH", self.build.path(&self.folders()))
            .envs(self.manager_settings().iter().copied())
            .env("VIRTUAL_ENV", self.environment())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("LANG", "C.UTF-8");
        command
    }
}

/// Runs a program with its output indented.
fn shown(command: Command) -> Result<bool, Stop> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = session::show_indented(command).map_err(Stop::io(format!("could not run {program}")))?;
    Ok(status.success())
}
