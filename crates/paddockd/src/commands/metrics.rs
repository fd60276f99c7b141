//! `paddockd metrics`: the numbers of a running server, as Prometheus reads them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use paddock_ipc::admin::{AdminAnswer, AdminRequest};

use super::ask::asked;

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
        asked(self.data, &AdminRequest::Metrics, |answer| match answer {
            AdminAnswer::Metrics { text } => {
                // A closed pipe is the reader's choice.
                let _ = io::stdout().write_all(text.as_bytes());
                Some(ExitCode::SUCCESS)
            }
            _ => None,
        })
    }
}
