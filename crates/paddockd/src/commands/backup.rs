//! `paddockd backup`: everything a server keeps, in one file.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use paddock_control::backup::{ClearSecrets, Databases, LostDatabase, Summary, Wanted, back_up};
use paddock_core::error::chain;
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest};
use paddock_store::Store;

use super::progress::{ProgressLine, megabytes};
use super::retention;
use super::stop::not_running;
use super::stopped::StoppedServer;
use crate::database::DatabaseArgs;
use crate::paths::Paths;
use crate::start_error::StartError;
use crate::wiring;

/// The longest between two words of the server: it reads one file in that time.
const SILENCE: Duration = Duration::from_secs(600);

/// Writes apps, releases, config, accounts, repositories, slugs, logs and what is in databases into one file.
///
/// The server may run: it goes on serving, and the backup is of one moment; each database is dumped a little later, by the
/// server, which must run for that. A backup that lacks a database is named FILE.incomplete, and the status is 1. The file is readable by its owner alone,
/// because it holds the master key and so everything needed to read the config vars in it. Keep it as safe as the
/// server itself, or keep the key elsewhere and say --without-master-key.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The file to write; one that exists is replaced when the new one is complete. "-" is standard output, for a pipe;
    /// with --keep it is a folder
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Write a file named for the time into the folder --to, then remove the oldest of these files but N; as many that lack a database are kept besides
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Leave out every secret that lies in clear: master key, first password, command-line token, local CA
    #[arg(long)]
    without_master_key: bool,
    /// Leave out what is in the databases of apps; where the server does not run there is no other way
    #[arg(long)]
    without_databases: bool,
    /// The master key, where a server that does not run now keeps it elsewhere [default: DIR/keys/master]
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

impl BackupArgs {
    pub(crate) fn run(self) -> ExitCode {
        if self.is_piped() {
            return match self.write_to_pipe() {
                Ok(summary) => self.tell(summary, None),
                Err(error) => crate::complain(&chain(error.as_ref())),
            };
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a backup is named by the time at which it was asked for"
        )]
        let to = match self.keep {
            Some(_) => self.to.join(retention::name(jiff::Timestamp::now())),
            None => self.to.clone(),
        };
        match self.write(&to) {
            Ok((summary, file)) => {
                let is_whole = summary.databases_lost.is_empty();
                let removed =
                    self.keep.map_or(Ok(()), |keep| retention::remove_but(&self.to, keep, is_whole));
                let told = self.tell(summary, Some(&file));
                match removed {
                    Ok(()) => told,
                    Err(error) => crate::complain(&format!("older backups were not removed: {error}")),
                }
            }
            Err(error) => crate::complain(&chain(error.as_ref())),
        }
    }

    fn is_piped(&self) -> bool {
        self.to == Path::new("-")
    }

    /// Whoever reads has all of it when we say so, and not otherwise: an archive that was cut off is no backup.
    fn write_to_pipe(&self) -> Result<Summary, StartError> {
        if self.keep.is_some() {
            return Err("--keep needs a folder: of what goes through a pipe nothing can be removed".into());
        }
        if io::stdout().is_terminal() {
            let text = "a backup is not for a terminal: say --to FILE, or  paddockd backup --to - | PROGRAM";
            return Err(text.into());
        }
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        self.write_to(&Paths::new(self.data.clone()), File::from(out))
    }

    /// Writes beside the file, then renames: whoever finds the file finds all of it. Where it is.
    fn write(&self, to: &Path) -> Result<(Summary, PathBuf), StartError> {
        let paths = Paths::new(self.data.clone());
        let mut part = to.to_owned().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let written = match open_new(&part) {
            Ok(file) => self.write_to(&paths, file),
            Err(error) => Err(could_not("write", &part, error)),
        };
        let renamed = written.and_then(|summary| {
            let is_whole = summary.databases_lost.is_empty();
            let to = if is_whole { to.to_owned() } else { retention::incomplete(to) };
            #[expect(
                clippy::disallowed_methods,
                reason = "a file of the operator's, outside the data folder"
            )]
            std::fs::rename(&part, &to).map_err(|error| could_not("write", &to, error))?;
            paddock_files::sync_folder_of(&to)?;
            Ok((summary, to))
        });
        if renamed.is_err() {
            #[expect(
                clippy::disallowed_methods,
                reason = "a file of the operator's, outside the data folder"
            )]
            let _ = std::fs::remove_file(&part);
        }
        renamed
    }

    fn write_to(&self, paths: &Paths, file: File) -> Result<Summary, StartError> {
        let (clear_secrets, without_databases) = (!self.without_master_key, self.without_databases);
        let request = AdminRequest::Backup { clear_secrets, without_databases };
        match admin::send(&paths.admin_socket(), &request, &[file.as_fd()], SILENCE) {
            Ok(stream) => receive(&stream, without_databases),
            Err(error) if not_running(&error) => self.write_directly(paths, file),
            Err(error) => Err(format!("could not ask the server: {error}").into()),
        }
    }

    /// No server runs, and none starts as long as we have its lock.
    fn write_directly(&self, paths: &Paths, file: File) -> Result<Summary, StartError> {
        let url = self.database.url(wiring::environment)?;
        let server = StoppedServer::lock(paths, self.master_key_file.as_deref(), url)?;
        let master_key_file = &server.store.master_key_file;
        let secrets = if self.without_master_key { ClearSecrets::LeftOut } else { ClearSecrets::Included };
        let databases = if self.without_databases { Databases::LeftOut } else { Databases::Dumped };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut line = ProgressLine::new("Backing up");
        let written = runtime.block_on(async {
            let store = Store::open_for_command(&server.store).await?;
            let version = env!("CARGO_PKG_VERSION");
            let wanted = Wanted { master_key_file, version, secrets, databases };
            let mut tell = |progress: paddock_control::backup::Progress| {
                line.tell(progress.bytes_done, progress.bytes_total);
                true
            };
            let written = back_up(&paths.data, &store, wanted, file, &mut tell).await;
            store.close().await;
            Ok::<_, StartError>(written?)
        });
        line.end();
        written
    }

    /// On standard output, where the backup is not.
    fn tell(&self, summary: Summary, to: Option<&Path>) -> ExitCode {
        let Summary { apps, databases, databases_left_out, files, bytes, writes_held, databases_lost: lost } =
            summary;
        let archive_bytes = to.and_then(|to| std::fs::metadata(to).ok()).map(|metadata| metadata.len());
        if self.json {
            let lost_lines: Vec<_> = lost
                .iter()
                .map(|lost| serde_json::json!({ "name": lost.name, "reason": lost.reason }))
                .collect();
            let json = serde_json::json!({
                "file": to.map(|to| to.display().to_string()),
                "apps": apps,
                "databases": databases,
                "databases_left_out": databases_left_out,
                "databases_lost": lost_lines,
                "files": files,
                "bytes": bytes,
                "archive_bytes": archive_bytes,
                "master_key": !self.without_master_key,
                "writes_held_milliseconds": u64::try_from(writes_held.as_millis()).unwrap_or(u64::MAX),
            });
            let _ = match to {
                Some(_) => writeln!(io::stdout(), "{json}"),
                None => writeln!(io::stderr(), "{json}"),
            };
            return if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        let key = if self.without_master_key {
            "The master key is not in it: it cannot be restored without that key, so keep the key as well."
        } else {
            "The master key is in it: whoever has this file can read every config var."
        };
        let compressed = archive_bytes.map(|bytes| format!(", {} compressed", megabytes(bytes)));
        let left_out = match databases_left_out {
            0 => String::new(),
            many => format!("\nWhat is in {many} databases was left out: after a restore they are empty."),
        };
        let told = crate::say(&format!(
            "Backed up {apps} apps and {databases} databases ({}{}) to {}.\n{key}{left_out}",
            megabytes(bytes),
            compressed.unwrap_or_default(),
            to.map_or_else(|| "standard output".to_owned(), |to| to.display().to_string()),
        ));
        if lost.is_empty() { told } else { crate::complain(&incomplete(&lost)) }
    }
}

fn incomplete(lost: &[LostDatabase]) -> String {
    let each: Vec<String> = lost.iter().map(|lost| format!("\n  {}: {}", lost.name, lost.reason)).collect();
    format!(
        "the backup is incomplete: it lacks what is in these databases, which would be empty after a restore of it.{}",
        each.concat()
    )
}

/// What the running server says until it is done.
fn receive(stream: &std::os::unix::net::UnixStream, without_databases: bool) -> Result<Summary, StartError> {
    let mut line = ProgressLine::new("Backing up");
    let last = loop {
        match admin::receive(stream) {
            Ok(AdminAnswer::BackupProgress { bytes_done, bytes_total, database: None }) => {
                line.tell(bytes_done, bytes_total);
            }
            Ok(AdminAnswer::BackupProgress { database: Some((number, of, bytes)), .. }) => {
                line.tell_part("database", number, of, bytes);
            }
            last => break last,
        }
    };
    line.end();
    match last {
        Ok(AdminAnswer::BackedUp {
            apps,
            files,
            bytes,
            writes_held_milliseconds,
            databases: databases_left_out,
            databases_dumped: databases,
            databases_lost,
        }) => {
            let writes_held = Duration::from_millis(writes_held_milliseconds);
            let lost = databases_lost.into_iter().map(|(name, reason)| LostDatabase { name, reason });
            let mut databases_lost: Vec<LostDatabase> = lost.collect();
            if !without_databases && databases_left_out > 0 {
                let name = format!("{databases_left_out} databases");
                let reason = "the server that runs is of an older version: start it anew".to_owned();
                databases_lost.push(LostDatabase { name, reason });
            }
            let databases_left_out = if without_databases { databases_left_out } else { 0 };
            Ok(Summary { apps, databases, databases_left_out, databases_lost, files, bytes, writes_held })
        }
        Ok(AdminAnswer::Refused { reason }) => Err(reason.into()),
        Ok(other) => Err(format!("the server gave an answer that does not fit: {other:?}").into()),
        Err(error) => Err(format!("the server ended before the backup was complete: {error}").into()),
    }
}

/// A new file that its owner alone reads; one that an earlier attempt left goes first.
#[expect(clippy::disallowed_methods, reason = "a file of the operator's, outside the data folder")]
fn open_new(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    paddock_files::make_private_file(path)
}

fn could_not(doing: &str, path: &Path, error: io::Error) -> StartError {
    format!("could not {doing} {}: {error}", path.display()).into()
}
