//! The official Heroku CLI and plain git, pointed at one server, with a home of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::outcome::{Outcome, run};
use crate::server::Server;
use crate::tools::heroku_bin;
use crate::wait::wait_until;

/// Longest that one command may take; a first push with dependencies is the longest.
const LONGEST: Duration = Duration::from_secs(600);

/// A person at a terminal: HOME, PATH with `heroku` on it, and the variables of one server.
#[derive(Debug)]
pub struct Cli {
    home: TempDir,
    path: String,
    environment: BTreeMap<String, String>,
}

impl Cli {
    /// A person whose variables point at this server.
    ///
    /// # Panics
    /// When they point anywhere but to loopback: a test never talks to the real Heroku.
    #[must_use]
    pub fn new(server: &Server) -> Cli {
        Cli::with_environment(server.environment().clone())
    }

    /// A person with these variables and nothing else.
    ///
    /// # Panics
    /// When `HEROKU_HOST` is absent or not loopback: a test never talks to the real Heroku.
    #[must_use]
    pub fn with_environment(environment: BTreeMap<String, String>) -> Cli {
        let host = environment.get("HEROKU_HOST").map(String::as_str).unwrap_or_default();
        assert!(is_loopback(host), "HEROKU_HOST={host:?} is not loopback: refusing to run the official CLI");
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = format!("{}:{}", heroku_bin().display(), inherited.to_string_lossy());
        Cli { home: TempDir::with_prefix("paddock-home-").unwrap(), path, environment }
    }

    /// HOME.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A program in this person's environment, in a folder.
    #[must_use]
    pub fn program(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env_clear().env("HOME", self.home()).env("PATH", &self.path);
        command.envs([("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("TERM", "dumb")]);
        command.envs([("GIT_TERMINAL_PROMPT", "0"), ("GIT_CONFIG_NOSYSTEM", "1")]);
        command.envs(&self.environment);
        command
    }

    /// `heroku ARGUMENTS` at home.
    #[must_use]
    pub fn heroku(&self, arguments: &[&str]) -> Outcome {
        self.heroku_in(self.home(), arguments)
    }

    /// `heroku ARGUMENTS` in a folder.
    #[must_use]
    pub fn heroku_in(&self, folder: &Path, arguments: &[&str]) -> Outcome {
        self.heroku_with_input(folder, arguments, b"")
    }

    /// `heroku ARGUMENTS` in a folder, with something on its standard input.
    #[must_use]
    pub fn heroku_with_input(&self, folder: &Path, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut command = self.program("heroku", folder);
        command.args(arguments);
        run(command, input, Duration::from_secs(120))
    }

    /// `git ARGUMENTS` in a folder.
    #[must_use]
    pub fn git(&self, folder: &Path, arguments: &[&str]) -> Outcome {
        let mut command = self.program("git", folder);
        command.args(arguments);
        run(command, b"", LONGEST)
    }

    /// Starts a `heroku` command that goes on, such as `logs --tail`, its output going to a file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn follow(&self, arguments: &[&str]) -> Following {
        let path = self.home().join(format!("following-{}.txt", arguments.join("-").replace('/', "-")));
        let file = File::create(&path).unwrap();
        let mut command = self.program("heroku", self.home());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0);
        Following { child: command.spawn().unwrap(), path }
    }
}

/// A command that goes on until this is dropped.
#[derive(Debug)]
pub struct Following {
    child: Child,
    path: PathBuf,
}

impl Following {
    /// What it has said so far.
    #[must_use]
    pub fn text(&self) -> String {
        std::fs::read(&self.path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until it has said this.
    ///
    /// # Panics
    /// When it does not in time; the message has what it said instead.
    pub fn wait_for(&self, words: &str, within: Duration) {
        let said = std::cell::RefCell::new(String::new());
        let found = crate::wait::wait_for(within, || {
            said.replace(self.text());
            said.borrow().contains(words).then_some(())
        });
        assert!(found.is_some(), "waited {} s for {words:?} in:\n{}", within.as_secs(), said.borrow());
    }

    /// Waits until it ends by itself and gives its exit status.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait_end(&mut self, within: Duration) -> i32 {
        let status = wait_until("the command's end", within, || self.child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.trim_start_matches("http://").trim_start_matches("https://");
    let name = name.split(['/', ':']).next().unwrap_or_default();
    name == "localhost" || name == "127.0.0.1"
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_is_loopback() {
        assert!(is_loopback("http://localhost:5080") && is_loopback("https://127.0.0.1:1"));
        for host in
            ["", "heroku.com", "http://localhost@heroku.com", "http://localhost.heroku.com", "api.localhost"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
