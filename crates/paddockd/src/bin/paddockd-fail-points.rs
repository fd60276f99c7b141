//! The server program with its fail points, for the test that ends it at each: `cargo xtask fail-points`. It has a name
//! of its own, so that nobody takes it for the one that users run.

use std::process::ExitCode;

fn main() -> ExitCode {
    paddockd::main()
}
