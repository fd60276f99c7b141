//! `paddockd stop`: ends a server, and on demand its dynos and router.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use paddock_core::error::chain;
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest};

use crate::paths::Paths;

/// Longest time for the server to end; dynos get 30 s after SIGTERM.
const ENDING: Duration = Duration::from_secs(90);

/// Stops the server; dynos and the router go on unless --stop-dynos is given
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Also stop every dyno and the router, and undo what was made in the kernel
    #[arg(long)]
    stop_dynos: bool,
}

impl StopArgs {
    pub(crate) fn run(self) -> ExitCode {
        let paths = Paths::new(self.data);
        match admin::ask(&paths.admin_socket(), &AdminRequest::Stop { dynos: self.stop_dynos }, ENDING) {
            Ok((AdminAnswer::Stopping { pid }, mut stream)) => {
                let mut rest = Vec::new();
                // The server closes the connection as its last act.
                match stream.read_to_end(&mut rest) {
                    Ok(_) => crate::say(&format!("Stopped (process {pid}).")),
                    Err(error) => crate::complain(&format!("process {pid} did not end in time: {error}")),
                }
            }
            Ok((AdminAnswer::Refused { reason }, _)) => crate::complain(&reason),
            Ok((other, _)) => {
                crate::complain(&format!("the server gave an answer that does not fit: {other:?}"))
            }
            Err(error) if not_running(&error) && !self.stop_dynos => {
                crate::say(&format!("No server runs for {}.", paths.data.display()))
            }
            Err(error) if not_running(&error) => match super::serve::end_without_server(&paths) {
                Ok(()) => crate::say("No server was running; its dynos and router are stopped."),
                Err(error) => crate::complain(&chain(error.as_ref())),
            },
            Err(error) => crate::complain(&format!("could not ask the server: {error}")),
        }
    }
}

/// Whether the administrator's socket is not there, or nobody listens on it.
pub(crate) fn not_running(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
