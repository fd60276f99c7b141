//! How far a long command has come, on standard error: one line that changes on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};

/// Steps in percent where the line cannot be written over.
const STEP: u64 = 25;

/// Tells how far something has come.
#[derive(Debug)]
pub(super) struct ProgressLine {
    doing: &'static str,
    is_terminal: bool,
    told: Option<u64>,
    /// The part that was told of last.
    part: Option<u64>,
}

impl ProgressLine {
    pub(super) fn new(doing: &'static str) -> Self {
        Self { doing, is_terminal: std::io::stderr().is_terminal(), told: None, part: None }
    }

    pub(super) fn tell(&mut self, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100).min(100);
        let percent = if self.is_terminal { percent } else { percent / STEP * STEP };
        if self.told == Some(percent) {
            return;
        }
        self.told = Some(percent);
        self.write(&format!("{}… {percent} % of {}", self.doing, megabytes(total)));
    }

    /// A part of which nobody knows how long it takes.
    pub(super) fn tell_part(&mut self, what: &str, number: u64, of: u64, done: u64) {
        if self.is_terminal {
            // Over what was longer, too.
            self.write(&format!("{}… {what} {number} of {of}: {}      ", self.doing, megabytes(done)));
        } else if self.part != Some(number) {
            self.write(&format!("{}… {what} {number} of {of}", self.doing));
        }
        self.part = Some(number);
    }

    fn write(&self, text: &str) {
        let (before, after) = if self.is_terminal { ("\r", "") } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{before}{text}{after}");
    }

    /// Ends the line, so that other words begin on one of their own.
    pub(super) fn end(self) {
        if self.is_terminal && (self.told.is_some() || self.part.is_some()) {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// Bytes for people.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
