//! What the commands that ask a running server have in common.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use paddock_ipc::admin::{self, AdminAnswer, AdminRequest};

use crate::paths::Paths;

/// Hashing a password takes its time, and others may be at it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the server and tells its answer, if that is one of those that fit.
pub(super) fn asked(
    data: PathBuf,
    request: &AdminRequest,
    tell: impl FnOnce(&AdminAnswer) -> Option<ExitCode>,
) -> ExitCode {
    let paths = Paths::new(data);
    match admin::ask(&paths.admin_socket(), request, PATIENCE) {
        Ok((AdminAnswer::Refused { reason }, _)) => crate::complain(&reason),
        Ok((answer, _)) => tell(&answer).unwrap_or_else(|| {
            crate::complain(&format!("the server gave an answer that does not fit: {answer:?}"))
        }),
        Err(error) => crate::complain(&format!(
            "no server answers for {} ({error}). Start one with: paddockd serve --data {}",
            paths.data.display(),
            paths.data.display()
        )),
    }
}
