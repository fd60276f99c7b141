//! The Ruby buildpack: Bundler from `Gemfile.lock`, assets by rake, process types of Rails and Rack. Variables, rules and
//! messages: Heroku's Ruby buildpack.

mod assets;
mod environment;
mod lock;
mod toolchain;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use paddock_core::hex;
use sha2::{Digest, Sha256};

use self::lock::Lock;
use self::toolchain::Toolchain;
use super::{BuiltinBuild, PLAIN, Row, cache_key};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

pub(super) const ROW: Row = Row {
    detect: |app| app.join("Gemfile").is_file(),
    looks_for: "Error: Your app is configured to use the Ruby buildpack,\nbut we couldn't find a Gemfile.\n\n\
                A Ruby app on Heroku must have a 'Gemfile' in the root\ndirectory of its source code.",
    compile,
    default_process_types,
    ..PLAIN
};

const LOCK: &str = "Gemfile.lock";
const BUNDLE: &str = "vendor/bundle";
/// The name of the gems in the cache, and what they were saved for.
const SAVED: &str = "ruby/gems";
const SAVED_FOR: &str = "ruby/gems.for";
/// The name of what stays the same between builds of an app unless it sets its own.
const SECRET: &str = "ruby/secret_key_base";
/// The hexadecimal digits of it.
const SECRET_DIGITS: usize = 128;

/// One build of a Ruby app.
struct RubyBuild<'a> {
    build: &'a BuiltinBuild<'a>,
    lock: Lock,
    lock_hash: String,
    toolchain: Toolchain,
    without: String,
    defaults: Vec<(&'static str, String)>,
}

fn read_lock(app: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(app.join(LOCK))?.take(lock::BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > lock::BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 4 MB"));
    }
    Ok(text)
}

fn default_process_types(app: &Path) -> BTreeMap<String, String> {
    let lock = Lock::parse(&String::from_utf8_lossy(&read_lock(app).unwrap_or_default()));
    let mut types = vec![("rake", "bundle exec rake"), ("console", "bundle exec irb")];
    if lock.has_from("railties", 4, 0) {
        types = vec![
            ("rake", "bundle exec rake"),
            ("console", "bin/rails console"),
            ("web", "bin/rails server -p ${PORT:-5000} -e $RAILS_ENV"),
        ];
    } else if lock.has("railties") {
        types = vec![
            ("rake", "bundle exec rake"),
            ("console", "bundle exec rails console"),
            ("web", "bundle exec rails server -p ${PORT:-5000}"),
        ];
    } else if lock.has("thin") && lock.has("rack") {
        types.push(("web", "bundle exec thin start -R config.ru -e $RACK_ENV -p ${PORT:-5000}"));
    } else if lock.has("rack") && app.join("config.ru").is_file() {
        types.push(("web", "bundle exec rackup config.ru -p ${PORT:-5000}"));
    }
    types.into_iter().map(|(name, line)| (name.to_owned(), line.to_owned())).collect()
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let text = match read_lock(build.build_dir()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            screen::warning(
                "Gemfile.lock required. Please check it in:\n\n$ bundle lock\n$ git add Gemfile.lock\n$ git commit -m \"Gemfile.lock\"",
            );
            return Ok(false);
        }
        Err(error) => {
            screen::warning(&format!("Gemfile.lock cannot be read: {error}"));
            return Ok(false);
        }
    };
    let lock = Lock::parse(&String::from_utf8_lossy(&text));
    let Some(toolchain) = toolchain::choose(build, &lock) else { return Ok(false) };
    let without = build.config_var("BUNDLE_WITHOUT").unwrap_or("development:test").replace(' ', ":");
    let secret = if lock.has_from("railties", 4, 1) { secret_key_base(build)? } else { String::new() };
    let defaults = environment::defaults(&lock, &secret);
    let lock_hash = hex(&Sha256::digest(&text));
    RubyBuild { build, lock, lock_hash, toolchain, without, defaults }.run()
}

/// Made once for an app and kept in its cache.
fn secret_key_base(build: &BuiltinBuild<'_>) -> Result<String, Stop> {
    let is_one =
        |text: &String| text.len() == SECRET_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(kept) = build.word(SECRET).filter(is_one) {
        return Ok(kept);
    }
    let mut bytes = [0; SECRET_DIGITS / 2];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(Stop::io("could not make a secret"))?;
    let secret = hex(&bytes);
    build.keep_word(SECRET, &secret)?;
    Ok(secret)
}

impl RubyBuild<'_> {
    fn run(&self) -> Result<bool, Stop> {
        self.say_of_settings()?;
        self.restore()?;
        if !self.install()? {
            return Ok(false);
        }
        self.save()?;
        if !self.assets()? {
            return Ok(false);
        }
        let script = |root: &str| environment::script(root, &self.toolchain, &self.without, &self.defaults);
        self.build.profile("ruby.sh", &script("$HOME"))?;
        self.build.export(&script(&self.build.build_dir().display().to_string()))?;
        let has_procfile = self.build.build_dir().join("Procfile").is_file();
        if !has_procfile && default_process_types(self.build.build_dir()).contains_key("web") {
            screen::warning(
                "No Procfile detected, using the default web server.\n\
                 We recommend explicitly declaring how to boot your server process via a Procfile.\n\
                 https://devcenter.heroku.com/articles/ruby-default-web-server",
            );
        }
        Ok(true)
    }

    fn say_of_settings(&self) -> Result<(), Stop> {
        let folder = self.build.build_dir();
        if folder.join(".bundle/config").exists() {
            screen::warning(
                "You have the `.bundle/config` file checked into your repository\n\
                 It contains local state like the location of the installed bundle\n\
                 as well as configured git local gems, and other settings that should\n\
                 not be shared between multiple checkouts of a single repo. Please\n\
                 remove the `.bundle/` folder from your repo and add it to your `.gitignore` file.",
            );
        }
        if folder.join(BUNDLE).exists() {
            screen::warning(
                "Removing `vendor/bundle`.\nChecking in `vendor/bundle` is not supported. Please remove this directory\n\
                 and add it to your .gitignore. To vendor your gems with Bundler, use\n`bundle pack` instead.",
            );
            remove_any(&folder.join(BUNDLE)).map_err(Stop::io("could not remove vendor/bundle"))?;
        }
        Ok(())
    }

    /// Bundler with the settings of this app. What the app sets itself counts, but for where gems are.
    fn bundle(&self, arguments: &[&str]) -> Command {
        let mut command = self.build.program("bundle");
        let folder = self.build.build_dir();
        let path = environment::bin_folders(&self.toolchain.abi).map(|name| folder.join(name));
        for (name, value) in &self.defaults {
            if self.build.config_var(name).is_none() {
                command.env(name, value);
            }
        }
        command
            .args(arguments)
            .envs(environment::bundler(&self.toolchain, &self.without))
            .env("BUNDLE_GEMFILE", folder.join("Gemfile"))
            .env("BUNDLE_APP_CONFIG", folder.join(".bundle"))
            .env("GEM_PATH", environment::gem_path(&folder.display().to_string(), &self.toolchain))
            .env("NOKOGIRI_USE_SYSTEM_LIBRARIES", "true")
            .env("DISABLE_SPRING", "1")
            .env("PATH", self.build.path(&path));
        command
    }

    fn install(&self) -> Result<bool, Stop> {
        screen::step(&format!("Installing dependencies using bundler {}", self.toolchain.bundler));
        if let Some(wanted) =
            self.lock.bundled_with.as_ref().filter(|wanted| **wanted != self.toolchain.bundler)
        {
            let wanted: String = wanted.chars().take(40).collect();
            screen::detail(&format!(
                "Gemfile.lock was written by bundler {wanted}; the stack's own is used."
            ));
        }
        // Gems that lie in the repository are all there are: nothing is asked for elsewhere.
        let vendored = self.build.build_dir().join("vendor/cache").is_dir();
        let arguments: &[&str] = if vendored { &["install", "-j4", "--local"] } else { &["install", "-j4"] };
        screen::detail(&format!(
            "Running: BUNDLE_WITHOUT='{}' BUNDLE_PATH={BUNDLE} BUNDLE_BIN={BUNDLE}/bin BUNDLE_DEPLOYMENT=1 bundle {}",
            self.without,
            arguments.join(" ")
        ));
        let begun = Instant::now();
        let status =
            session::show_indented(self.bundle(arguments)).map_err(Stop::io("could not run bundle"))?;
        if !status.success() {
            screen::warning(
                "Failed to install gems via Bundler.\n\n\
                 If it says that your Ruby version is one and your Gemfile specified another, run:\n\n\
                 $ bundle update --ruby\n$ git add Gemfile.lock\n$ git commit -m \"update ruby version\"",
            );
            return Ok(false);
        }
        screen::detail(&format!("Bundle completed ({:.2}s)", begun.elapsed().as_secs_f32()));
        screen::detail("Cleaning up the bundler cache.");
        // What it removes was in the last build's bundle and is in this one's no more: nobody misses it.
        let _ = session::capture(self.bundle(&["clean"]));
        let archives =
            self.build.build_dir().join(BUNDLE).join("ruby").join(&self.toolchain.abi).join("cache");
        remove_any(&archives).map_err(Stop::io("could not remove the archives of gems"))?;
        Ok(true)
    }

    /// What gems may be used again for: another Ruby or C library needs its own.
    fn key(&self) -> String {
        let stack = &self.build.build.plan.stack_version;
        cache_key(&[self.toolchain.version.as_bytes(), stack.as_bytes()])
    }

    fn restore(&self) -> Result<(), Stop> {
        let Some(saved) = self.build.saved(SAVED, &self.key()) else { return Ok(()) };
        self.build.unpack(&saved, &self.build.build_dir().join(BUNDLE))
    }

    /// Saves the gems when the lock file names others than before.
    fn save(&self) -> Result<(), Stop> {
        let saved_for =
            cache_key(&[self.key().as_bytes(), self.lock_hash.as_bytes(), self.without.as_bytes()]);
        let bundle = self.build.build_dir().join(BUNDLE);
        if self.build.word(SAVED_FOR).as_deref() == Some(saved_for.as_str()) || !bundle.is_dir() {
            return Ok(());
        }
        self.build.save(&bundle, SAVED, &self.key())?;
        self.build.keep_word(SAVED_FOR, &saved_for)
    }
}
