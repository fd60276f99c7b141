//! Rake tasks of a build: `assets:precompile`. Messages and rules: Heroku's Ruby buildpack.

use std::fs;
use std::process::Command;
use std::time::Instant;

use super::RubyBuild;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

const RAKEFILES: [&str; 4] = ["Rakefile", "rakefile", "Rakefile.rb", "rakefile.rb"];
const PUBLIC: &str = "public/assets";
const SPROCKETS: &str = "tmp/cache/assets";
/// The names of what is saved of both.
const SAVED: [(&str, &str); 2] = [("ruby/public_assets", PUBLIC), ("ruby/sprockets", SPROCKETS)];

/// Databases that a task finds when the app has none yet: it may ask for an address, and never connects.
const DATABASES: [(&str, &str); 4] = [
    ("pg", "postgres://user:pass@127.0.0.1/dbname"),
    ("mysql2", "mysql2://user:pass@127.0.0.1/dbname"),
    ("mysql", "mysql://user:pass@127.0.0.1/dbname"),
    ("sqlite3", "sqlite3:///dbname"),
];

impl RubyBuild<'_> {
    fn rake(&self, arguments: &[&str]) -> Command {
        let mut command = self.bundle(&[]);
        command.args(["exec", "rake"]).args(arguments);
        if self.lock.has_from("railties", 3, 0) {
            command.env("RAILS_GROUPS", "assets");
        }
        if self.build.config_var("DATABASE_URL").is_none()
            && let Some((_, address)) = DATABASES.iter().find(|(gem, _)| self.lock.has(gem))
        {
            command.env("DATABASE_URL", address);
        }
        command
    }

    /// The names of the app's tasks; `None` when its Rakefile cannot be loaded, which the user has been told.
    fn tasks(&self) -> Result<Option<Vec<String>>, Stop> {
        let has_rakefile = RAKEFILES.iter().any(|name| self.build.build_dir().join(name).is_file());
        if !has_rakefile || !self.lock.has("rake") {
            return Ok(Some(Vec::new()));
        }
        screen::step("Detecting rake tasks");
        let captured =
            session::capture(self.rake(&["-P", "--trace"])).map_err(Stop::io("could not run rake"))?;
        if captured.status.success() {
            let listed = String::from_utf8_lossy(&captured.stdout).into_owned();
            return Ok(Some(
                listed.lines().filter_map(|line| line.strip_prefix("rake ")).map(str::to_owned).collect(),
            ));
        }
        screen::warning(
            "Could not detect rake tasks\nensure you can run `$ bundle exec rake -P` against your app\n\
             and using the production group of your Gemfile.",
        );
        screen::detail(&String::from_utf8_lossy(&captured.stderr));
        Ok(None)
    }

    /// Whether assets were compiled, or need not be.
    pub(super) fn assets(&self) -> Result<bool, Stop> {
        // An app of Rails whose tasks cannot be told would be deployed without its assets.
        let Some(tasks) = self.tasks()? else { return Ok(!self.lock.has_from("railties", 4, 0)) };
        let has = |name: &str| tasks.iter().any(|task| task == name);
        if !has("assets:precompile") {
            return Ok(true);
        }
        if self.were_compiled_before() {
            screen::detail("Detected manifest file, assuming assets were compiled locally");
            return Ok(true);
        }
        let is_rails = self.lock.has_from("railties", 3, 0);
        screen::step(if is_rails { "Preparing app for Rails asset pipeline" } else { "Precompiling assets" });
        self.restore_assets()?;
        let begun = Instant::now();
        if !self.run_task("assets:precompile")? {
            screen::warning("Precompiling assets failed.");
            return Ok(false);
        }
        screen::detail(&format!("Asset precompilation completed ({:.2}s)", begun.elapsed().as_secs_f32()));
        if has("assets:clean") {
            screen::detail("Cleaning assets");
            if self.run_task("assets:clean")? {
                self.save_assets()?;
            }
        }
        Ok(true)
    }

    fn run_task(&self, name: &str) -> Result<bool, Stop> {
        screen::detail(&format!("Running: rake {name}"));
        Ok(session::show_indented(self.rake(&[name])).map_err(Stop::io("could not run rake"))?.success())
    }

    fn were_compiled_before(&self) -> bool {
        let entries = fs::read_dir(self.build.build_dir().join(PUBLIC));
        entries.into_iter().flatten().flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name == "manifest.yml"
                || (name.ends_with(".json")
                    && (name.starts_with(".sprockets-manifest-") || name.starts_with("manifest-")))
        })
    }

    fn restore_assets(&self) -> Result<(), Stop> {
        for (name, folder) in SAVED {
            let place = self.build.build_dir().join(folder);
            if let Some(saved) = self.build.saved(name, &self.key())
                && !place.exists()
            {
                self.build.unpack(&saved, &place)?;
            }
        }
        Ok(())
    }

    fn save_assets(&self) -> Result<(), Stop> {
        for (name, folder) in SAVED {
            let place = self.build.build_dir().join(folder);
            if place.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                self.build.save(&place, name, &self.key())?;
            }
        }
        Ok(())
    }
}
