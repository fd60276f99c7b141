//! PostgreSQL's own client: the second door to a database.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::outcome::{Outcome, run};

fn psql(url: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        // As the CLI has it: TLS or nothing, and a password that is proven, not sent.
        .envs([
            ("PGSSLMODE", "require"),
            ("PGCHANNELBINDING", "require"),
            ("PGCONNECT_TIMEOUT", "10"),
            ("HOME", "/"),
        ]);
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1", url]);
    psql
}

/// What SQL gives, a line for each row, columns separated by `|`.
#[must_use]
pub fn ask_database(url: &str, sql: &str) -> Outcome {
    let mut command = psql(url);
    command.args(["--command", sql]);
    run(command, b"", Duration::from_secs(60))
}

/// A connection that stays open.
#[derive(Debug)]
pub struct DatabaseSession {
    psql: Child,
    said: std::path::PathBuf,
}

impl DatabaseSession {
    /// Connects; what it says goes to a file of this name in a folder.
    ///
    /// # Panics
    /// When psql cannot be started.
    #[must_use]
    pub fn open(url: &str, folder: &Path, name: &str) -> DatabaseSession {
        let said = folder.join(format!("session-{name}.txt"));
        let file = std::fs::File::create(&said).unwrap();
        let mut command = psql(url);
        command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file);
        DatabaseSession { psql: command.spawn().unwrap(), said }
    }

    /// Sends SQL.
    ///
    /// # Panics
    /// Never: the input is piped.
    pub fn send(&mut self, sql: &str) {
        let stdin = self.psql.stdin.as_mut().expect("the input is piped");
        // One that has ended reads no more, which is asked for elsewhere.
        let _ = writeln!(stdin, "{sql}").and_then(|()| stdin.flush());
    }

    /// What it has said so far.
    #[must_use]
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until it has said this.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_for(&self, words: &str) {
        let found =
            crate::wait::wait_for(Duration::from_secs(30), || self.text().contains(words).then_some(()));
        assert!(found.is_some(), "waited for {words:?} in:\n{}", self.text());
    }

    /// Whether psql has ended, as it does when its connection is taken away.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.psql.try_wait().unwrap().is_some()
    }
}

impl Drop for DatabaseSession {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
