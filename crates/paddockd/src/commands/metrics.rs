//! `paddockd metrics`: the numbers of a running server, as Prometheus reads them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest};

use crate::paths::Paths;

/// Prints the server's metrics: passes of reconcilers, jobs, transactions, requests, log lag, disk.
///
/// Prometheus gets the same from the platform's address at /paddock/metrics with the operator's token as bearer.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

impl MetricsArgs {
    pub(crate) fn run(self) -> ExitCode {
        let paths = Paths::new(self.data);
        match admin::ask(&paths.admin_socket(), &AdminRequest::Metrics, Duration::from_secs(30)) {
            Ok((AdminAnswer::Metrics { text }, _)) => {
                // A closed pipe is the reader's choice.
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Ok((AdminAnswer::Refused { reason }, _)) => crate::complain(&reason),
            Ok((other, _)) => {
                crate::complain(&format!("the server gave an answer that does not fit: {other:?}"))
            }
            Err(error) => {
                crate::complain(&format!("no server answers for {} ({error})", paths.data.display()))
            }
        }
    }
}
