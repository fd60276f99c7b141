//! The programs of this crate that `paddockd` contains, for the tests: the git hook and the build runner.

use std::process::ExitCode;

#[expect(clippy::disallowed_methods, reason = "stands in for paddockd, which reads the environment")]
fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if name.rsplit('/').next() == Some(paddock_build::git::HOOK_NAME) {
        return paddock_build::git::git_hook_main(|name| std::env::var_os(name));
    }
    match arguments.next().as_deref() {
        Some("build-runner") => paddock_build::runner::build_runner_main(std::env::vars()),
        _ => ExitCode::FAILURE,
    }
}
