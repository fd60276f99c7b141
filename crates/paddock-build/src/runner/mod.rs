//! The build runner: the program of a build container. It runs as the build's own unprivileged user, next to the
//! tenant's code, and prints what people see.

use std::process::ExitCode;

/// The runner's program, `paddockd build-runner`. `environment` is the whole environment of the process, which only
/// `paddockd` reads.
pub fn build_runner_main(environment: impl IntoIterator<Item = (String, String)>) -> ExitCode {
    let _ = environment.into_iter().count();
    ExitCode::FAILURE
}
