//! The environment with an app's packages: made, installed into, kept for builds in which nothing of it changed.

use std::fs;
use std::process::Command;

use super::editable::{self, Reworded};
use super::facts::Facts;
use super::manifest::{Manager, Manifest};
use super::pip_settings::PipSettings;
use super::{PythonBuild, pipenv, shown};
use crate::runner::builtin::cache_key;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// The name of the saved environment in the cache.
const SAVED: &str = "python/environment";
/// Where the build was that saved it: packages that are installed in place have its path.
const SAVED_OF: &str = "python/environment.of";
/// The pip of an environment, for hooks, release commands and consoles.
const PIP: &str = "pip==26.0";
/// Pythons below this have an older one.
const FIRST_WITH_PIP: u64 = 9;
/// What Pythons up to the next came with, and old packages need without a word.
const SETUPTOOLS: &str = "setuptools==70.3.0";
const LAST_WITH_SETUPTOOLS: u64 = 12;
/// Config vars that a package manager reads itself begin so.
const SETTINGS: [&str; 2] = ["POETRY_", "PIPENV_"];

impl PythonBuild<'_> {
    pub(super) fn install(&self) -> Result<bool, Stop> {
        self.link()?;
        let key = self.key();
        let facts = Facts::of(self);
        if key.is_none() {
            let why =
                "what is installed depends on more than files that are read, such as the app's own package";
            self.build.build.notes.reuse(SAVED, false, why);
        }
        if let Some(saved) = key.as_ref().and_then(|key| self.build.saved(SAVED, key)) {
            screen::step("Restoring cache");
            self.build.unpack(&saved, &self.in_slug())?;
            self.find_itself_again()?;
            screen::step(&format!(
                "No change in {} detected, using the installed packages",
                self.manifest.name()
            ));
            return Ok(true);
        }
        facts.say_what_changed(self, key.is_some());
        screen::step("Creating virtual environment");
        if !self.create()? || !self.install_packages()? {
            return Ok(false);
        }
        if let Some(key) = &key {
            screen::step("Saving cache");
            self.build.save(&self.in_slug(), SAVED, key)?;
            let of = self.build.build.cache.cache_dir().join(SAVED_OF);
            fs::write(of, self.build.build_dir().as_os_str().as_encoded_bytes())
                .map_err(Stop::io("could not keep where the environment was made"))?;
            facts.keep(self)?;
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

    /// A restored environment in which packages are installed in place names the folder of the build that made it.
    fn find_itself_again(&self) -> Result<(), Stop> {
        let of = self.build.word(SAVED_OF);
        match of {
            Some(of) if !of.is_empty() && self.manifest.manager() == Some(Manager::Poetry) => {
                editable::settle(&self.in_slug(), of.as_ref(), self.build.build_dir())
                    .map_err(Stop::io("could not restore packages that are installed in place"))
            }
            _ => Ok(()),
        }
    }

    fn create(&self) -> Result<bool, Stop> {
        let mut uv = self.uv.command(self.build);
        uv.args(["venv", "--quiet", "--allow-existing", "--no-project", "--python"])
            .arg(&self.interpreter.program)
            .arg(self.environment());
        if !shown(uv)? {
            return Ok(false);
        }
        if self.manifest.manager().is_some() {
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
        let Some(manager) = self.manifest.manager() else { return self.install_requirements() };
        let succeeded = match manager {
            Manager::Uv => self.install_with_uv()?,
            Manager::Poetry => match &self.poetry {
                Some(poetry) => poetry.install(self)? && self.compile()?,
                None => false,
            },
            Manager::Pipenv => {
                if !pipenv::prepare(self)? {
                    return Ok(false);
                }
                pipenv::install(self)? && self.compile()?
            }
        };
        if !succeeded {
            screen::warning(&match manager {
                Manager::Uv => not_installed(&self.manifest),
                Manager::Poetry | Manager::Pipenv => format!(
                    "Error: Unable to install dependencies using {}.\n\nSee the log output above for more information.",
                    manager.name()
                ),
            });
        }
        Ok(succeeded)
    }

    fn install_requirements(&self) -> Result<bool, Stop> {
        let Manifest::Requirements(requirements) = &self.manifest else { return Ok(false) };
        screen::step("Installing dependencies using 'uv pip install -r requirements.txt'");
        self.settings.say();
        let reworded = Reworded::write(&requirements.files)
            .map_err(Stop::io("could not reword the files of requirements"))?;
        let mut uv = self.install_command(&self.settings);
        uv.args(["-r", "requirements.txt"]);
        let succeeded = shown(uv)?;
        reworded.put_back().map_err(Stop::io("could not put back the files of requirements"))?;
        if !succeeded {
            screen::warning(&not_installed(&self.manifest));
        }
        Ok(succeeded)
    }

    fn install_with_uv(&self) -> Result<bool, Stop> {
        screen::step("Installing dependencies using 'uv sync --locked --no-default-groups'");
        let mut uv = self.uv.command(self.build);
        uv.env("VIRTUAL_ENV", self.environment())
            .env("UV_PROJECT_ENVIRONMENT", self.environment())
            .args(["sync", "--locked", "--no-default-groups", "--no-editable", "--python"])
            .arg(&self.interpreter.program);
        shown(uv)
    }

    /// Compiles what a package manager installed, as uv does with its own: so that times of files do not matter. What
    /// cannot be compiled is no fault of the app's.
    fn compile(&self) -> Result<bool, Stop> {
        let packages = format!("lib/python3.{}/site-packages", self.interpreter.version.1);
        let mut python = self.program("python");
        python
            .args(["-m", "compileall", "-q", "-f", "-j", "0", "--invalidation-mode", "unchecked-hash"])
            .arg(self.environment().join(packages));
        session::capture(python).map_err(Stop::io("could not compile the packages"))?;
        Ok(true)
    }

    /// Everything that the installed packages depend on; `None` when they depend on more than files that are read
    /// here, such as the app's own package.
    fn key(&self) -> Option<String> {
        let files = self.manifest.files()?;
        let versions = format!("{} {}", self.interpreter.version, self.uv.version());
        let (settings, tools) = match self.manifest.manager() {
            None => (self.settings.key(), self.tools().join(" ")),
            Some(Manager::Uv) => Default::default(),
            Some(manager) => (self.settings.key() + &self.own_settings(), Facts::version(manager).to_owned()),
        };
        let stack = &self.build.build.plan.stack_version;
        let home = self.environment();
        let mut parts = vec![versions.as_bytes(), stack.as_bytes(), home.as_os_str().as_encoded_bytes()];
        parts.extend([settings.as_bytes(), tools.as_bytes()]);
        parts.extend(files);
        Some(cache_key(&parts))
    }

    /// What the app sets for a package manager.
    fn own_settings(&self) -> String {
        let set = self.build.build.config_vars.iter();
        set.filter(|(name, _)| SETTINGS.iter().any(|start| name.starts_with(start)))
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect()
    }
}

fn not_installed(manifest: &Manifest) -> String {
    format!("Unable to install the packages of {}.\nSee the messages of uv above.", manifest.name())
}
