//! Output and log lines, in real files.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod output;
mod plane;
mod render;
