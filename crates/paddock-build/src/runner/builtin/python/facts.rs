//! What a saved environment was made with, so that a build that makes another can say why.

use std::fs;

use super::PythonBuild;
use super::manifest::Manager;
use super::{pipenv, poetry};
use crate::runner::builtin::cache_key;
use crate::runner::screen;
use crate::runner::stop::Stop;

/// Their name in the cache.
const NAME: &str = "python/environment.facts";

/// One line each: a name and what it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts([(&'static str, String); 4]);

impl Facts {
    pub(super) fn of(python: &PythonBuild<'_>) -> Self {
        let manager = python.manifest.manager();
        let lock = python.manifest.files().map(|files| cache_key(&files));
        Self([
            ("stack", python.build.build.plan.stack.clone()),
            ("Python version", python.interpreter.version.to_string()),
            ("package manager", manager.map_or("pip", Manager::name).to_owned()),
            ("lock", lock.unwrap_or_default()),
        ])
    }

    /// The version of a package manager that is installed for an app.
    pub(super) const fn version(manager: Manager) -> &'static str {
        match manager {
            Manager::Uv => "",
            Manager::Poetry => poetry::VERSION,
            Manager::Pipenv => pipenv::VERSION,
        }
    }

    /// Says why what was saved is not used; nothing where nothing was saved.
    pub(super) fn say_what_changed(&self, python: &PythonBuild<'_>, is_kept: bool) {
        let saved = python.build.word(NAME);
        let Some(saved) = saved.filter(|_| is_kept) else { return };
        let reasons = self.changed(&saved, python.manifest.name());
        screen::step("Discarding cache since:");
        screen::detail(&reasons.iter().map(|reason| format!("- {reason}\n")).collect::<String>());
    }

    fn changed(&self, saved: &str, lock: &str) -> Vec<String> {
        let mut reasons = Vec::new();
        for (name, now) in &self.0 {
            let before = saved.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            match before {
                Some(before) if before == now => {}
                _ if *name == "lock" => reasons.push(format!("The contents of {lock} changed")),
                before => reasons.push(format!(
                    "The {name} has changed from {} to {now}",
                    before.filter(|before| before.len() < 100).unwrap_or("unknown")
                )),
            }
        }
        if reasons.is_empty() {
            reasons.push("The settings or the tools of the installation have changed".to_owned());
        }
        reasons
    }

    pub(super) fn keep(&self, python: &PythonBuild<'_>) -> Result<(), Stop> {
        let text: String = self.0.iter().map(|(name, now)| format!("{name}={now}\n")).collect();
        fs::write(python.build.build.cache.cache_dir().join(NAME), text)
            .map_err(Stop::io("could not keep what the environment was made with"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named_as_heroku_names_it() {
        let facts = |python: &str, lock: &str| {
            Facts([
                ("stack", "host".to_owned()),
                ("Python version", python.to_owned()),
                ("package manager", "Poetry".to_owned()),
                ("lock", lock.to_owned()),
            ])
        };
        let saved = "stack=host\nPython version=3.11.2\npackage manager=Poetry\nlock=1\n";
        let changed = |python, lock| facts(python, lock).changed(saved, "poetry.lock");
        assert_eq!(changed("3.11.2", "2"), ["The contents of poetry.lock changed"]);
        assert_eq!(
            changed("3.12.1", "2"),
            ["The Python version has changed from 3.11.2 to 3.12.1", "The contents of poetry.lock changed"]
        );
        assert_eq!(changed("3.11.2", "1"), ["The settings or the tools of the installation have changed"]);
        let unknown = facts("3.11.2", "1").changed("", "poetry.lock");
        assert_eq!(unknown[0], "The stack has changed from unknown to host");
    }
}
