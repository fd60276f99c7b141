//! Output and log lines, in real files.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod output;
mod plane;
mod render;
