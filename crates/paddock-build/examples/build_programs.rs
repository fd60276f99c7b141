//! The programs that `paddockd` contains and the tests of this crate need: the git hook, the build runner, and the
//! runtime's shim.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if name.rsplit('/').next() == Some(paddock_build::git::HOOK_NAME) {
        return paddock_build::git::git_hook_main(|name| std::env::var_os(name));
    }
    match arguments.next().as_deref() {
        Some("build-runner") => paddock_build::runner::build_runner_main(std::env::vars()),
        Some("image-step") => paddock_build::image_step::image_step_main(std::env::vars()),
        // Without a container, in the folder that is named: to try a buildpack by hand.
        Some("build-runner-below") => {
            let folder = arguments.next().unwrap_or_default();
            let places = paddock_build::runner::Places::below(Path::new(&folder));
            paddock_build::runner::run_build(&places, std::env::vars())
        }
        Some("confine") => {
            paddock_runtime_linux::host_process::confine_main(arguments.map(std::ffi::OsString::from))
        }
        Some("shim") => paddock_runtime_linux::shim_main(Path::new(&arguments.next().unwrap_or_default())),
        _ => ExitCode::FAILURE,
    }
}
