//! Errors of the shim's steps: each names what was tried.

use std::io;

/// A step that failed: on the host, or in starting the user's program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("{doing}")]
    Host {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("{reason}")]
    Program {
        /// What was wrong with it.
        reason: String,
    },
}

/// Names the step of a failed call.
pub(crate) trait Doing<T> {
    /// Says what was tried.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|source| StepError::Host { doing: doing(), source: source.into() })
    }
}

impl StepError {
    /// The step and its causes in one line, for a message to another process or a log.
    pub(crate) fn chain(&self) -> String {
        match self {
            Self::Host { doing, source } => format!("{doing}: {source}"),
            Self::Program { reason } => reason.clone(),
        }
    }
}
