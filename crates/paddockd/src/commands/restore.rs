//! `paddockd restore`: a backup into an empty data folder.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use paddock_control::backup::{self, Restore, Restored};
use paddock_core::error::chain;

use super::progress::{ProgressLine, megabytes};
use crate::data_dir::{closed_to_others, take_lock};
use crate::instance::Instance;
use crate::paths::Paths;
use crate::start_error::StartError;

/// Brings back what `paddockd backup` wrote, into a data folder that is empty or does not exist.
///
/// Every checksum is compared before anything is put in place. Start the server on it afterwards, on this machine or
/// another, with the same or another --listen: its dynos start again. End the server that the backup is of first, or
/// both run the same apps.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Data folder to restore into
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The master key, for a backup that was made without it; it stays where it is
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// Print what was restored as JSON
    #[arg(long)]
    json: bool,
}

impl RestoreArgs {
    pub(crate) fn run(self) -> ExitCode {
        match self.restore() {
            Ok((paths, restored)) => self.tell(&paths, &restored),
            Err(error) => crate::complain(&chain(error.as_ref())),
        }
    }

    fn restore(&self) -> Result<(Paths, Restored), StartError> {
        if !rustix::process::geteuid().is_root() {
            return Err("restoring gives files to the users of git and dynos: run it as root".into());
        }
        std::fs::create_dir_all(&self.data)?;
        let paths = Paths::new(self.data.clone());
        if let Some(closed) = closed_to_others(&paths.data)? {
            let closed = closed.display();
            return Err(format!("{closed} may be entered by its owner alone: the server's router and git could not pass. Choose another folder, or: chmod o+x {closed}").into());
        }
        let _lock = take_lock(&paths.serve_lock())?;
        let instance = Instance::claim(&paths.data)?;
        let restore = Restore {
            file: &self.from,
            data: &paths.data,
            master_key_file: self.master_key_file.as_deref(),
            git_uid: instance.git_uid(),
        };
        let mut line = ProgressLine::new("Restoring");
        let mut tell = |progress: backup::Progress| line.tell(progress.bytes_done, progress.bytes_total);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let restored = runtime.block_on(backup::restore(restore, &mut tell));
        line.end();
        let restored = restored?;
        instance.keep_ids(&paths.data)?;
        Ok((paths.clone(), restored))
    }

    fn tell(&self, paths: &Paths, restored: &Restored) -> ExitCode {
        let Restored { header, files, bytes, databases, empty } = restored;
        let data = paths.data.display();
        if self.json {
            let json = serde_json::json!({
                "data": data.to_string(),
                "apps": header.apps,
                "files": files,
                "bytes": bytes,
                "databases": databases,
                "databases_empty": empty,
                "created_at": header.created_at,
                "version": header.version,
            });
            let _ = writeln!(io::stdout(), "{json}");
            return ExitCode::SUCCESS;
        }
        let key = self.master_key_file.as_ref();
        let key = key.map_or_else(String::new, |file| format!(" --master-key-file {}", file.display()));
        let filled = match databases {
            0 => String::new(),
            many => format!(
                "\nWhat is in the databases of apps ({many}) is put back when the server is started: apps wait for theirs."
            ),
        };
        let lacking = match empty.as_slice() {
            [] => String::new(),
            names => format!(
                "\nThe backup does not have what is in these databases, which will be empty: {}.",
                names.join(", ")
            ),
        };
        crate::say(&format!(
            "Restored {} apps ({}) as they were at {}.{filled}{lacking}\nStart the server: paddockd serve --data {data}{key}",
            header.apps,
            megabytes(*bytes),
            header.created_at
        ))
    }
}
