//! The server program.

use std::process::ExitCode;

fn main() -> ExitCode {
    paddockd::main()
}
