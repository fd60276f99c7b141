//! `paddockd apps`: every app of a running server.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest, AppLine};

use super::progress::megabytes;
use super::table::{minute, table};
use crate::paths::Paths;

/// Lists every app of the server: owner, dynos, when it was released, size of its slug.
#[derive(Debug, Args)]
pub(crate) struct AppsArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

impl AppsArgs {
    pub(crate) fn run(self) -> ExitCode {
        let paths = Paths::new(self.data);
        match admin::ask(&paths.admin_socket(), &AdminRequest::ListApps, Duration::from_secs(30)) {
            Ok((AdminAnswer::Apps { apps }, _)) => {
                let text = if self.json { format!("{}\n", serde_json::json!(apps)) } else { shown(&apps) };
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

fn shown(apps: &[AppLine]) -> String {
    let rows: Vec<_> = apps
        .iter()
        .map(|app| {
            let bytes = app.slug_bytes.and_then(|bytes| u64::try_from(bytes).ok());
            [
                app.name.clone(),
                app.owner.clone(),
                dynos(app),
                minute(app.released_at.as_deref()),
                bytes.map_or_else(|| "-".to_owned(), megabytes),
            ]
        })
        .collect();
    table(["app", "owner", "dynos", "released (UTC)", "slug"], &rows)
}

/// Such as `2 up, 1 crashed`.
fn dynos(app: &AppLine) -> String {
    let states: Vec<_> = app.dynos.iter().rev().map(|(state, count)| format!("{count} {state}")).collect();
    if states.is_empty() { "-".to_owned() } else { states.join(", ") }
}
