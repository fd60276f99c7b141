//! `paddockd storage`: what the data folder of a running server holds, and why.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use paddock_ipc::admin::{AdminAnswer, AdminRequest, AppStorageLine, StorageLine};

use super::ask::asked;
use super::progress::megabytes;
use super::table::table;

/// Says what holds how much of the data folder, why it is kept, and what the next clean-up takes.
#[derive(Debug, Args)]
pub(crate) struct StorageArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print it as JSON, in bytes
    #[arg(long)]
    json: bool,
}

impl StorageArgs {
    pub(crate) fn run(self) -> ExitCode {
        asked(self.data, &AdminRequest::Storage, |answer| match answer {
            AdminAnswer::Storage { kinds, apps } => {
                let text = match self.json {
                    true => format!("{}\n", serde_json::json!({ "kinds": kinds, "apps": apps })),
                    false => shown(kinds, apps),
                };
                // A closed pipe is the reader's choice.
                let _ = io::stdout().write_all(text.as_bytes());
                Some(ExitCode::SUCCESS)
            }
            _ => None,
        })
    }
}

fn shown(kinds: &[StorageLine], apps: &[AppStorageLine]) -> String {
    let rows: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let (held, freed) = (megabytes(kind.bytes), megabytes(kind.freed_bytes));
            [kind.what.clone(), kind.count.to_string(), held, freed, kind.why.clone()]
        })
        .collect();
    let mut text = table(["what", "count", "holds", "goes next", "kept"], &rows);
    let rows: Vec<_> = apps
        .iter()
        .map(|app| {
            [app.layer_bytes, app.registry_bytes, app.repository_bytes, app.build_cache_bytes].map(megabytes)
        })
        .zip(apps)
        .map(|([layers, registry, repository, cache], app)| {
            [app.app.clone(), layers, registry, repository, cache]
        })
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table(["app", "layers", "registry", "repository", "build cache"], &rows));
    }
    text
}
