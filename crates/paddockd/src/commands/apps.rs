//! `paddockd apps`: every app of a running server.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use paddock_ipc::admin::{AdminAnswer, AdminRequest, AppLine};

use super::ask::asked;
use super::progress::megabytes;
use super::table::{minute, table};

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
        asked(self.data, &AdminRequest::ListApps, |answer| match answer {
            AdminAnswer::Apps { apps } => {
                let text = if self.json { format!("{}\n", serde_json::json!(apps)) } else { shown(apps) };
                // A closed pipe is the reader's choice.
                let _ = io::stdout().write_all(text.as_bytes());
                Some(ExitCode::SUCCESS)
            }
            _ => None,
        })
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
