//! A conversation with the tools, compared with the one that is recorded in `e2e/transcripts`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::Cli;
use crate::outcome::Outcome;
use crate::redaction::redact;
use crate::server::Server;

/// A transcript being made. `finish` compares it; one that is not finished proves nothing.
#[derive(Debug)]
pub struct Transcript {
    name: &'static str,
    named: Vec<(String, &'static str)>,
    text: String,
}

impl Transcript {
    #[must_use]
    pub fn begin(name: &'static str, server: &Server, cli: &Cli) -> Transcript {
        let named = vec![
            (cli.home().display().to_string(), "HOME"),
            (server.environment().get("HEROKU_API_KEY").cloned().unwrap_or_default(), "TOKEN"),
            (server.port().to_string(), "PORT"),
        ];
        Transcript { name, named, text: String::new() }
    }

    /// Has a text that differs from run to run replaced by a name.
    pub fn name(&mut self, value: &str, name: &'static str) {
        self.named.push((value.to_owned(), name));
    }

    /// Records a command with its status and all it said.
    #[must_use]
    pub fn say(&mut self, outcome: Outcome) -> Outcome {
        self.record(&outcome, &outcome.text());
        outcome
    }

    /// Records a command with its status only, where what it says depends on the moment (logs, lists of dynos).
    #[must_use]
    pub fn note(&mut self, outcome: Outcome) -> Outcome {
        self.record(&outcome, "(what it says is checked in the test)\n");
        outcome
    }

    fn record(&mut self, outcome: &Outcome, said: &str) {
        let _ = writeln!(self.text, "$ {}", redact(&outcome.command, &self.named));
        for line in redact(said, &self.named).lines() {
            let _ = writeln!(self.text, "{}", line.trim_end());
        }
        let _ = writeln!(self.text, "[exit {}]\n", outcome.status);
    }

    /// Compares the transcript with the recorded one, or records it when `PADDOCK_RECORD_TRANSCRIPTS=1`.
    ///
    /// # Panics
    /// When they differ; the message shows the first difference.
    pub fn finish(self) {
        let path = recorded(self.name);
        if std::env::var_os("PADDOCK_RECORD_TRANSCRIPTS").is_some_and(|value| value == "1") {
            fs::create_dir_all(path.parent().expect("transcripts lie in a folder")).unwrap();
            fs::write(&path, &self.text).unwrap();
            return;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected != self.text {
            panic!("{}", difference(self.name, &expected, &self.text));
        }
    }
}

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(format!("{name}.txt"))
}

/// The first difference with the command it belongs to.
fn difference(name: &str, expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = expected.iter().zip(&found).take_while(|(expected, found)| expected == found).count();
    let from = found[..same.min(found.len())].iter().rposition(|line| line.starts_with("$ ")).unwrap_or(0);
    let part = |lines: &[&str]| {
        lines.iter().skip(from).take(same - from + 6).copied().collect::<Vec<_>>().join("\n")
    };
    format!(
        "the transcript {name} differs in line {}.\n--- recorded\n{}\n--- now\n{}\n\
         If this is meant, record it with PADDOCK_RECORD_TRANSCRIPTS=1 and review the change.",
        same + 1,
        part(&expected),
        part(&found)
    )
}
