//! How a build ends early.

use std::io;

use super::screen;
use crate::output;
use crate::plan::RunnerFailure;

/// Why the runner gives up.
#[derive(Debug)]
pub(super) enum Stop {
    /// The user has been told why.
    Told(RunnerFailure),
    /// Something that should work did not.
    Io { doing: String, source: io::Error },
}

impl Stop {
    /// Prints an error of ours and gives up.
    pub(super) fn told(failure: RunnerFailure, problem: &str) -> Self {
        screen::write(&output::problem(problem));
        Self::Told(failure)
    }

    /// For `map_err` on file operations.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Prints what was not said yet. The last line of every failed build is the host's.
    pub(super) fn say(&self) -> RunnerFailure {
        match self {
            Self::Told(failure) => *failure,
            Self::Io { doing, source } => {
                screen::write(&output::problem(&format!("Build error: {doing}: {source}")));
                RunnerFailure::Internal
            }
        }
    }
}
