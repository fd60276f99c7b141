//! The PHP buildpack: the stack's PHP, packages by Composer, and the commands that start PHP-FPM behind Apache or nginx.
//! Files, config vars and messages: Heroku's PHP buildpack.

mod constraint;
mod platform;
mod project;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use paddock_core::procfile;
use serde_json::{Value, json};

use self::platform::{Platform, Server};
use self::project::{Origin, Project};
use super::{BuiltinBuild, PLAIN, Row, cache_key};
use crate::runner::stop::Stop;
use crate::runner::{screen, session};
use crate::source::{remove_any, text};

pub(super) const ROW: Row = Row {
    detect: |app| ["composer.json", "index.php"].iter().any(|name| app.join(name).is_file()),
    looks_for: "Application not supported by this buildpack!\n\n\
                A PHP app on Heroku requires a 'composer.json' at the root of\nthe directory structure, or an 'index.php' for legacy behavior.",
    compile,
    default_process_types: |_| BTreeMap::from([("web".to_owned(), Server::Apache.command().to_owned())]),
    ..PLAIN
};

/// Starts PHP-FPM and a web server; which one is said by the name that it is called by.
const BOOT: &str = include_str!("boot.sh");
const MIME_TYPES: &str = include_str!("mime.types");
const PHP_INI: &str = include_str!("php.ini");
/// Where what dynos read of ours lies.
const FOLDER: &str = ".heroku/php";
/// The name of the saved packages in the cache.
const SAVED: &str = "php/vendor";

/// One build of a PHP app.
struct PhpBuild<'a> {
    build: &'a BuiltinBuild<'a>,
    project: Project,
    platform: Platform,
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let set = |name| build.config_var(name);
    let project = match project::read(build.build_dir(), set("COMPOSER"), set("COMPOSER_VENDOR_DIR")) {
        Ok(project) => project,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    if build.build_dir().join(FOLDER).exists() {
        screen::warning(
            "Your app source code contains artifacts from a previous build!\n\nRemove .heroku/php from your repository, and this \
             buildpack from the list if it is in it twice: heroku buildpacks",
        );
        return Ok(false);
    }
    let Some(platform) = platform::look(build) else { return Ok(false) };
    PhpBuild { build, project, platform }.run()
}

impl PhpBuild<'_> {
    fn run(&self) -> Result<bool, Stop> {
        self.say_origin();
        screen::step("Preparing platform package installation...");
        if let Some(problem) = self.platform.problem(&self.project).or_else(|| self.missing_servers()) {
            screen::warning(&problem);
            return Ok(false);
        }
        screen::detail(&format!("- php ({}), the stack's own", self.platform.version));
        self.leave_tools()?;
        screen::step("Installing dependencies...");
        if !self.project.is_installed_by_composer() {
            self.write_empty()?;
        } else if !self.install()? {
            return Ok(false);
        }
        if self.project.has_compile_script() {
            screen::step("Running 'composer compile'...");
            if !self.show(self.composer(&["run-script", "--no-dev", "--no-interaction", "compile"])?)? {
                screen::warning("Compile step failed! Look at what the script said above.");
                return Ok(false);
            }
        }
        screen::step("Preparing runtime environment...");
        self.leave_boot_scripts()?;
        self.write_procfile()?;
        Ok(true)
    }

    fn say_origin(&self) {
        let file = &self.project.file;
        match self.project.origin {
            Origin::Written => {}
            Origin::Missing => screen::warning(&format!(
                "No '{file}' found!\n\nUsing 'index.php' to declare app type as PHP is deprecated and\nmay lead to unexpected behavior."
            )),
            Origin::Empty => screen::warning(&format!(
                "Your '{file}' is completely empty!\n\nPlease change the contents to at least '{{}}'."
            )),
        }
    }

    /// Composer wants something to read, also in a dyno.
    fn write_empty(&self) -> Result<(), Stop> {
        screen::detail("There is nothing to install");
        if self.project.origin == Origin::Written {
            return Ok(());
        }
        fs::write(self.build.build_dir().join(&self.project.file), "{}\n")
            .map_err(Stop::io("could not write composer.json"))
    }

    /// What the servers that the app starts lack on this stack.
    fn missing_servers(&self) -> Option<String> {
        let text = text::read(&self.build.build_dir().join("Procfile")).ok();
        let lines: Vec<_> = text.map_or_else(
            || vec![Server::Apache.command().to_owned()],
            |text| procfile::parse(&text).process_types.into_values().collect(),
        );
        let path = self.build.build.session.path();
        let started = |server: &Server| lines.iter().any(|line| line.contains(server.command()));
        Server::ALL.into_iter().filter(started).find_map(|server| self.platform.missing_for(server, path))
    }

    fn vendor(&self) -> PathBuf {
        self.build.build_dir().join(&self.project.vendor_dir)
    }

    fn install(&self) -> Result<bool, Stop> {
        if self.program_of_stack("composer").is_none() {
            screen::warning(
                "This stack has no Composer: its operator has to install it, with  apt-get install composer",
            );
            return Ok(false);
        }
        let is_committed =
            self.vendor().join("autoload.php").is_file() && self.vendor().join("composer").is_dir();
        if is_committed {
            screen::warning(&format!(
                "Composer vendor dir found in project!\n\nYour Git repository contains Composer's '{0}' directory, which should not be \
                 under version control:\ngit rm -r --cached {0}/, and add /{0}/ to .gitignore.",
                self.project.vendor_dir
            ));
        }
        let key = self.key();
        let saved = if is_committed { None } else { self.build.saved(SAVED, &key) };
        if let Some(saved) = &saved {
            screen::detail(&format!(
                "No change in {} detected: packages are those of the last build",
                self.project.lock_file
            ));
            self.build.unpack(saved, &self.vendor())?;
        }
        let mut composer =
            self.composer(&["install", "--no-dev", "--prefer-dist", "--optimize-autoloader"])?;
        composer.args(["--no-progress", "--no-interaction"]);
        if saved.is_none() {
            composer.env("COMPOSER_CACHE_DIR", self.build.cache("php/composer")?);
        }
        if !self.show(composer)? {
            screen::warning(
                "Dependency installation failed!\n\nThe 'composer install' process failed with an error. The cause\n\
                 may be the download or installation of packages, or a pre- or\npost-install hook (e.g. a 'post-install-cmd' item in 'scripts')\n\
                 in your 'composer.json'.",
            );
            return Ok(false);
        }
        if self.project.has_package("heroku/heroku-buildpack-php") {
            screen::warning(
                "Package 'heroku/heroku-buildpack-php' found!\n\nMove it from section 'require' to 'require-dev' in composer.json, run 'composer \
                 update' and commit.",
            );
            return Ok(false);
        }
        if saved.is_none() && !is_committed && !self.project.has_local_packages() && self.vendor().is_dir() {
            self.build.save(&self.vendor(), SAVED, &key)?;
        }
        Ok(true)
    }

    /// What installed packages may be used again for.
    fn key(&self) -> String {
        let read = |name: &str| fs::read(self.build.build_dir().join(name)).unwrap_or_default();
        let stack = &self.build.build.plan.stack_version;
        let version = self.platform.version.to_string();
        cache_key(&[
            version.as_bytes(),
            stack.as_bytes(),
            &read(&self.project.lock_file),
            &read(&self.project.file),
        ])
    }

    fn composer(&self, arguments: &[&str]) -> Result<Command, Stop> {
        let home = self.build.build.home.join(".composer");
        let mut composer = self.build.program("composer");
        composer
            .args(arguments)
            // Its own folder may come to hold credentials, and is no part of the cache.
            .env("COMPOSER_HOME", &home)
            .env("COMPOSER_CACHE_DIR", home.join("cache"))
            .env("COMPOSER_NO_INTERACTION", "1")
            .env("NO_COLOR", "1");
        if let Some(auth) = self.credentials()? {
            composer.env("COMPOSER_AUTH", auth);
        }
        Ok(composer)
    }

    /// `COMPOSER_AUTH` with the token for GitHub that Heroku has a variable of its own for.
    fn credentials(&self) -> Result<Option<String>, Stop> {
        let of = |name| self.build.config_var(name).filter(|value| !value.trim().is_empty());
        let Some(token) = of("COMPOSER_GITHUB_OAUTH_TOKEN") else { return Ok(None) };
        let mut auth = match of("COMPOSER_AUTH").map(serde_json::from_str::<Value>) {
            Some(Ok(auth)) if auth.is_object() => auth,
            None => json!({}),
            Some(_) => {
                screen::warning(
                    "The config var COMPOSER_AUTH is not valid JSON: the token for GitHub goes without it.",
                );
                json!({})
            }
        };
        screen::detail("Using $COMPOSER_GITHUB_OAUTH_TOKEN for GitHub OAuth.");
        auth["github-oauth"] = json!({ "github.com": token.trim() });
        Ok(Some(auth.to_string()))
    }

    fn show(&self, command: Command) -> Result<bool, Stop> {
        Ok(session::show_indented(command).map_err(Stop::io("could not run composer"))?.success())
    }

    fn program_of_stack(&self, name: &str) -> Option<PathBuf> {
        self.build
            .build
            .session
            .path()
            .split(':')
            .map(|folder| PathBuf::from(folder).join(name))
            .find(|path| path.is_file())
    }

    /// What dynos read at their start, and what later buildpacks see.
    fn leave_tools(&self) -> Result<(), Stop> {
        let etc = self.build.build_dir().join(FOLDER).join("etc");
        fs::create_dir_all(&etc)
            .and_then(|()| fs::write(etc.join("mime.types"), MIME_TYPES))
            .and_then(|()| fs::write(etc.join("php.ini"), PHP_INI))
            .map_err(Stop::io("could not write .heroku/php"))?;
        let bin = &self.project.bin_dir;
        self.build.profile("100-composer.sh", &format!("export PATH=\"$HOME/{bin}:$PATH\"\n"))?;
        // Which workers fit is decided at each start, by memory_limit.
        self.build.profile(super::profile::CONCURRENCY_NAME, "")?;
        let path = self.build.build_dir().join(bin);
        self.build.export(&format!("export PATH=\"{}:$PATH\"\n", path.display()))
    }

    fn leave_boot_scripts(&self) -> Result<(), Stop> {
        let folder = self.build.build_dir().join(&self.project.bin_dir);
        let head = format!(
            "#!/bin/bash\nvendor_dir={}\nbin_dir={}\n",
            self.project.vendor_dir, self.project.bin_dir
        );
        let write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            for server in Server::ALL {
                let path = folder.join(server.command());
                remove_any(&path)?;
                fs::write(&path, format!("{head}{BOOT}"))?;
                fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
            }
            Ok(())
        };
        write().map_err(Stop::io("could not write the commands that start PHP"))
    }

    fn write_procfile(&self) -> Result<(), Stop> {
        let path = self.build.build_dir().join("Procfile");
        if path.exists() {
            return Ok(());
        }
        screen::detail("NOTICE: No Procfile, using 'web: heroku-php-apache2'.");
        fs::write(path, format!("web: {}\n", Server::Apache.command()))
            .map_err(Stop::io("could not write Procfile"))
    }
}
