//! Programs of the host that this crate runs with its own rights.

use std::process::Command;

/// A program that is looked up on the usual path, or one that is named by its path.
#[expect(clippy::disallowed_methods, reason = "this is how programs of the host are run")]
pub(crate) fn tool(program: &str) -> Command {
    Command::new(program)
}
