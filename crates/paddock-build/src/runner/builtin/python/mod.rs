//! The Python buildpack: the system's Python or one fetched by uv, packages by uv, Django's static files.
//!
//! The packages live in a virtual environment at `/app/.heroku/python`, which during the build is a link to
//! `BUILD_DIR/.heroku/python`: so paths that are written into scripts are those of run time.

mod choice;
mod django;
mod editable;
mod hooks;
mod interpreter;
mod pip_settings;
mod requirements;
mod specifier;
mod uv;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::editable::Reworded;
use self::interpreter::Interpreter;
use self::pip_settings::PipSettings;
use self::requirements::Manifest;
use self::specifier::Specifiers;
use self::uv::Uv;
use self::version::Wanted;
use super::{BuiltinBuild, PLAIN, Row, cache_key, profile};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Where the environment is, below HOME and below BUILD_DIR.
const ENVIRONMENT: &str = ".heroku/python";
/// The name of the saved environment in the cache.
const SAVED: &str = "python/environment";
/// The pip of an environment, for hooks, release commands and consoles.
const PIP: &str = "pip==26.0";
/// Pythons below this have an older one.
const FIRST_WITH_PIP: u64 = 9;
/// What Pythons up to the next came with, and old packages need without a word.
const SETUPTOOLS: &str = "setuptools==70.3.0";
const LAST_WITH_SETUPTOOLS: u64 = 12;
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
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    // It may write the files that are read next.
    if !hooks::run(build, "pre_compile")? {
        return Ok(false);
    }
    let read = Manifest::find(build.build_dir())
        .and_then(|manifest| Ok((manifest, version::wanted(build.build_dir())?)));
    let (manifest, wanted) = match read {
        Ok(read) => read,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    let required = version::required(build.build_dir());
    let wanted = choice::or_last(build, wanted, required.as_ref());
    wanted.say();
    let Some(uv) = uv::find(build)? else { return Ok(false) };
    let Some(interpreter) = choice::choose(build, &wanted, required.as_ref(), &uv)? else {
        return Ok(false);
    };
    if let (Manifest::UvLock { .. }, Some(required)) = (&manifest, &required)
        && !required.contains(interpreter.version)
    {
        screen::warning(&does_not_fit(&wanted, required, &interpreter));
        return Ok(false);
    }
    choice::keep_last(build, &wanted, &interpreter)?;
    let settings = PipSettings::of(build);
    PythonBuild { build, manifest, settings, interpreter, uv }.run()
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
        if !self.install()? || !django::collect_static(self)? {
            return Ok(false);
        }
        self.build.profile("python.sh", profile::PYTHON)?;
        self.build.profile(profile::GUNICORN_NAME, profile::GUNICORN)?;
        self.build.profile(profile::CONCURRENCY_NAME, &profile::python_concurrency())?;
        self.build.export(&format!("export PATH=\"{}/bin:$PATH\"\n", self.environment().display()))?;
        hooks::run(self.build, "post_compile")
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
            .env("PATH", self.build.path(&[self.environment().join("bin")]))
            .env("VIRTUAL_ENV", self.environment())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("LANG", "C.UTF-8");
        command
    }

    fn install(&self) -> Result<bool, Stop> {
        self.link()?;
        let key = self.key();
        if let Some(saved) = key.as_ref().and_then(|key| self.build.saved(SAVED, key)) {
            screen::step("Restoring cache");
            self.build.unpack(&saved, &self.in_slug())?;
            screen::step(&format!(
                "No change in {} detected, using the installed packages",
                self.manifest.name()
            ));
            return Ok(true);
        }
        screen::step("Creating virtual environment");
        if !self.create()? || !self.install_packages()? {
            return Ok(false);
        }
        if let Some(key) = &key {
            screen::step("Saving cache");
            self.build.save(&self.in_slug(), SAVED, key)?;
        }
        Ok(true)
    }

    /// `HOME/.heroku/python` leads to the slug's.
    fn link(&self) -> Result<(), Stop> {
        let (link, target) = (self.environment(), self.in_slug());
        let make = || {
            remove_any(&target)?;
            fs::create_dir_all(&target)?;
            remove_any(&link)?;
            fs::create_dir_all(link.parent().expect("the environment lies in a folder of HOME"))?;
            std::os::unix::fs::symlink(&target, &link)
        };
        make().map_err(Stop::io("could not make the environment's folder"))
    }

    fn create(&self) -> Result<bool, Stop> {
        let mut uv = self.uv.command(self.build);
        uv.args(["venv", "--quiet", "--allow-existing", "--no-project", "--python"])
            .arg(&self.interpreter.program)
            .arg(self.environment());
        if !shown(uv)? {
            return Ok(false);
        }
        if matches!(self.manifest, Manifest::UvLock { .. }) {
            return Ok(true);
        }
        let tools = self.tools();
        screen::step(&format!("Installing {}", tools.join(" and ").replace("==", " ")));
        // The app's settings are for its own packages.
        let mut uv = self.install_command(&PipSettings::of_operator(self.build));
        // Compiled with those.
        uv.arg("--quiet").args(tools).env("UV_COMPILE_BYTECODE", "false");
        let succeeded = shown(uv)?;
        if !succeeded {
            screen::warning("Unable to install pip. See the messages of uv above.");
        }
        Ok(succeeded)
    }

    /// What an environment has beside the app's own packages.
    fn tools(&self) -> &'static [&'static str] {
        match self.interpreter.version.1 {
            ..FIRST_WITH_PIP => &["pip", SETUPTOOLS],
            FIRST_WITH_PIP..=LAST_WITH_SETUPTOOLS => &[PIP, SETUPTOOLS],
            _ => &[PIP],
        }
    }

    /// `uv pip install`; what is still to be added.
    fn install_command(&self, settings: &PipSettings) -> Command {
        let mut uv = self.uv.command(self.build);
        uv.env("VIRTUAL_ENV", self.environment())
            .args(["pip", "install", "--python"])
            .arg(self.environment().join("bin/python"));
        settings.apply(self.build, &mut uv);
        uv
    }

    fn install_packages(&self) -> Result<bool, Stop> {
        let succeeded = match &self.manifest {
            Manifest::Requirements(requirements) => {
                screen::step("Installing dependencies using 'uv pip install -r requirements.txt'");
                self.settings.say();
                let reworded = Reworded::write(&requirements.files)
                    .map_err(Stop::io("could not reword the files of requirements"))?;
                let mut uv = self.install_command(&self.settings);
                uv.args(["-r", "requirements.txt"]);
                let succeeded = shown(uv)?;
                reworded.put_back().map_err(Stop::io("could not put back the files of requirements"))?;
                succeeded
            }
            Manifest::UvLock { .. } => {
                screen::step("Installing dependencies using 'uv sync --locked --no-default-groups'");
                let mut uv = self.uv.command(self.build);
                uv.env("VIRTUAL_ENV", self.environment())
                    .env("UV_PROJECT_ENVIRONMENT", self.environment())
                    .args(["sync", "--locked", "--no-default-groups", "--no-editable", "--python"])
                    .arg(&self.interpreter.program);
                shown(uv)?
            }
        };
        if !succeeded {
            screen::warning(&format!(
                "Unable to install the packages of {}.\nSee the messages of uv above.",
                self.manifest.name()
            ));
        }
        Ok(succeeded)
    }

    /// Everything that the installed packages depend on; `None` when they depend on more than files that are read
    /// here, such as the app's own package.
    fn key(&self) -> Option<String> {
        let files = self.manifest.files()?;
        let versions = format!("{} {}", self.interpreter.version, self.uv.version());
        let (settings, tools) = match &self.manifest {
            Manifest::Requirements(_) => (self.settings.key(), self.tools().join(" ")),
            Manifest::UvLock { .. } => Default::default(),
        };
        let stack = &self.build.build.plan.stack_version;
        let home = self.environment();
        let mut parts = vec![versions.as_bytes(), stack.as_bytes(), home.as_os_str().as_encoded_bytes()];
        parts.extend([settings.as_bytes(), tools.as_bytes()]);
        parts.extend(files);
        Some(cache_key(&parts))
    }
}

/// Runs a program with its output indented.
fn shown(command: Command) -> Result<bool, Stop> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = session::show_indented(command).map_err(Stop::io(format!("could not run {program}")))?;
    Ok(status.success())
}
