//! The Python buildpack: the system's Python or one fetched by uv, packages by uv, Django's static files.
//!
//! The packages live in a virtual environment at `/app/.heroku/python`, which during the build is a link to
//! `BUILD_DIR/.heroku/python`: so paths that are written into scripts are those of run time.

mod django;
mod requirements;
mod uv;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::requirements::Manifest;
use self::uv::Uv;
use self::version::Interpreter;
use super::{BuiltinBuild, cache_key, web_concurrency_script};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Where the environment is, below HOME and below BUILD_DIR.
const ENVIRONMENT: &str = ".heroku/python";
/// The name of the saved environment in the cache.
const SAVED: &str = "python/environment";
/// Sourced by every dyno.
const PROFILE: &str = r#"export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=true
export LANG="${LANG:-C.UTF-8}"
export PYTHONPATH="${PYTHONPATH:-$HOME}"
"#;
/// Files by which a Python app is known. Source: the classic buildpack's detection.
const FILES: [&str; 8] = [
    "requirements.txt",
    "uv.lock",
    "pyproject.toml",
    "Pipfile",
    "poetry.lock",
    "setup.py",
    "manage.py",
    "runtime.txt",
];

pub(super) fn detect(build_dir: &Path) -> bool {
    FILES.iter().any(|name| build_dir.join(name).is_file())
}

/// One build of a Python app.
struct PythonBuild<'a> {
    build: &'a BuiltinBuild<'a>,
    manifest: Manifest,
    interpreter: Interpreter,
    uv: Uv,
}

pub(super) fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let told = |problem: &str| {
        screen::warning(problem);
        Ok(false)
    };
    let wanted = match version::wanted(build.build_dir()) {
        Ok(wanted) => wanted,
        Err(problem) => return told(&problem),
    };
    let manifest = match Manifest::find(build.build_dir()) {
        Ok(manifest) => manifest,
        Err(problem) => return told(&problem),
    };
    if !hook(build, "pre_compile")? {
        return Ok(false);
    }
    wanted.say();
    let of_stack = version::of_stack(build, &wanted);
    let Some(uv) = uv::find(build)? else { return Ok(false) };
    let interpreter = match of_stack {
        Some(interpreter) => interpreter,
        None => match version::fetch(build, &wanted, &uv)? {
            Some(interpreter) => interpreter,
            None => return Ok(false),
        },
    };
    PythonBuild { build, manifest, interpreter, uv }.run()
}

impl PythonBuild<'_> {
    fn run(&self) -> Result<bool, Stop> {
        if !self.install()? || !django::collect_static(self)? {
            return Ok(false);
        }
        self.build.profile("python.sh", PROFILE)?;
        self.build.profile("WEB_CONCURRENCY.sh", &web_concurrency_script(256))?;
        self.build.export(&format!("export PATH=\"{}/bin:$PATH\"\n", self.environment().display()))?;
        hook(self.build, "post_compile")
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
        shown(uv)
    }

    fn install_packages(&self) -> Result<bool, Stop> {
        let mut uv = self.uv.command(self.build);
        uv.env("VIRTUAL_ENV", self.environment()).env("UV_PROJECT_ENVIRONMENT", self.environment());
        match &self.manifest {
            Manifest::Requirements { .. } => {
                screen::step("Installing dependencies using 'uv pip install -r requirements.txt'");
                uv.args(["pip", "install", "--python"])
                    .arg(self.environment().join("bin/python"))
                    .args(["-r", "requirements.txt"]);
            }
            Manifest::UvLock { .. } => {
                screen::step("Installing dependencies using 'uv sync --locked --no-default-groups'");
                uv.args(["sync", "--locked", "--no-default-groups", "--no-editable", "--python"])
                    .arg(&self.interpreter.program);
            }
        }
        let succeeded = shown(uv)?;
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
        let stack = &self.build.build.plan.stack_version;
        let home = self.environment();
        let mut parts = vec![versions.as_bytes(), stack.as_bytes(), home.as_os_str().as_encoded_bytes()];
        parts.extend(files.iter().map(Vec::as_slice));
        Some(cache_key(&parts))
    }
}

/// Runs a program with its output indented.
fn shown(command: Command) -> Result<bool, Stop> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = session::show_indented(command).map_err(Stop::io(format!("could not run {program}")))?;
    Ok(status.success())
}

/// Runs the app's own hook, if it has it.
fn hook(build: &BuiltinBuild<'_>, name: &str) -> Result<bool, Stop> {
    let path = build.build_dir().join("bin").join(name);
    if !path.is_file() {
        return Ok(true);
    }
    screen::step(&format!("Running bin/{name} hook"));
    let environment = build.build.home.join(ENVIRONMENT).join("bin");
    let mut bash = build.program("/bin/bash");
    bash.arg(path).env("PATH", build.path(&[environment]));
    let succeeded = shown(bash)?;
    if !succeeded {
        screen::warning(&format!("The app's bin/{name} hook failed."));
    }
    Ok(succeeded)
}
