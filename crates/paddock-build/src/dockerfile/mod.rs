//! Dockerfiles, read and laid out as steps. Pure: a text, arguments and what the base images say become a list of steps, or
//! a sentence with the line that it is about.
//!
//! * [`Dockerfile::read`]: lines, heredocs and instructions, grouped into stages.
//! * [`Dockerfile::needed`]: which of the stages a target needs, and which images they begin from.
//! * [`Dockerfile::plan`]: the steps of those stages, with variables put in.
//!
//! It reads what Docker's own front end reads, by the public reference of the format. What it reads and does not build says so
//! in a sentence.

mod expand;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod pattern;
mod plan;
mod read;
mod stages;
mod state;
mod words;

pub use instruction::{Copy, CopySource, From, Instruction, Kind, Run, RunNetwork, Words};
pub use mount::{Mount, MountKind};
pub use plan::{Action, Base, Body, CopyStep, Plan, PlannedMount, PlannedSource, RunStep, Stage, Step};
pub(crate) use stages::architecture;
pub use stages::{Dockerfile, Mention, Needed};

#[cfg(test)]
mod tests;

use std::fmt;

/// The longest Dockerfile, in bytes.
pub const BYTES_MAX: usize = 256 * 1024;
/// The most instructions of one.
pub const INSTRUCTIONS_MAX: usize = 1_000;
/// The longest text that a word may become when variables are put in, in bytes.
pub const EXPANDED_BYTES_MAX: usize = 64 * 1024;
/// How long the names and values of all variables of a stage may be together, in bytes.
pub const ENVIRONMENT_BYTES_MAX: usize = 512 * 1024;

/// What is wrong with a Dockerfile, for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileError {
    /// The line that it is about, from 1 on; `None` if it is about the whole file.
    pub line: Option<usize>,
    /// A sentence without its full stop.
    pub problem: String,
}

impl DockerfileError {
    fn at(line: usize, problem: impl Into<String>) -> Self {
        Self { line: Some(line), problem: problem.into() }
    }

    fn whole(problem: impl Into<String>) -> Self {
        Self { line: None, problem: problem.into() }
    }
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl std::error::Error for DockerfileError {}
