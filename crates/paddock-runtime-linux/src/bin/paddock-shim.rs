//! The parts of `paddockd` that this crate's tests start as programs of their own.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|name| name.to_str()) {
        Some("shim") => match arguments.next() {
            Some(folder) => paddock_runtime_linux::shim_main(Path::new(&folder)),
            None => ExitCode::FAILURE,
        },
        Some("confine") => paddock_runtime_linux::host_process::confine_main(arguments),
        _ => ExitCode::FAILURE,
    }
}
