//! `paddockd keys`: new keys in the place of old ones.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use paddock_core::error::chain;
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest};
use paddock_store::{MasterKeyRotation, Store};

use super::stop::not_running;
use super::stopped::StoppedServer;
use crate::database::DatabaseArgs;
use crate::paths::Paths;
use crate::start_error::StartError;
use crate::wiring;

/// Every value is sealed again in that time.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The keys that config vars and other secrets are sealed with
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    Rotate(RotateArgs),
}

/// Makes a new master key and wraps the data key with it. The server may run, and is not interrupted.
///
/// After the old master key and a copy of the database may have been seen by somebody, say --data-key as well: then
/// every stored secret is sealed again with a new data key. A rotation that is interrupted loses nothing: run it again.
/// Backups made before need the master key of their time.
#[derive(Debug, Args)]
struct RotateArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Make a new data key, too, and seal every secret again
    #[arg(long)]
    data_key: bool,
    /// Put the new master key there (a key of 32 bytes that is there already is used) and remove the old file
    #[arg(long, value_name = "FILE")]
    new_master_key_file: Option<PathBuf>,
    /// The present master key, where a server that does not run now keeps it elsewhere [default: DIR/keys/master]
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// What was done.
struct Rotated {
    /// How many values were sealed again, if any were to be.
    resealed: Option<u64>,
    /// Whether the key in the file that was asked for was the present one already.
    was_there: bool,
    /// The file of the old key, where it was left.
    left: Option<PathBuf>,
}

impl KeysArgs {
    pub(crate) fn run(self) -> ExitCode {
        let KeysCommand::Rotate(args) = self.command;
        match args.rotate() {
            Ok(rotated) => args.tell(&rotated),
            Err(error) => crate::complain(&chain(error.as_ref())),
        }
    }
}

impl RotateArgs {
    fn rotate(&self) -> Result<Rotated, StartError> {
        let paths = Paths::new(self.data.clone());
        // Relative to where we are, not to where the server is.
        let new_master_key_file = self.new_master_key_file.as_ref().map(std::path::absolute).transpose()?;
        let request = AdminRequest::RotateKeys {
            data_key: self.data_key,
            new_master_key_file: new_master_key_file.clone(),
        };
        match admin::ask(&paths.admin_socket(), &request, PATIENCE) {
            Ok((AdminAnswer::KeysRotated { resealed, was_there }, _)) => {
                Ok(Rotated { resealed, was_there, left: None })
            }
            Ok((AdminAnswer::Refused { reason }, _)) => Err(reason.into()),
            Ok((other, _)) => Err(format!("the server gave an answer that does not fit: {other:?}").into()),
            Err(error) if not_running(&error) => self.rotate_directly(&paths, new_master_key_file),
            Err(error) => Err(format!("could not ask the server: {error}").into()),
        }
    }

    /// No server runs, and none starts as long as we have its lock.
    fn rotate_directly(
        &self,
        paths: &Paths,
        new_master_key_file: Option<PathBuf>,
    ) -> Result<Rotated, StartError> {
        let url = self.database.url(wiring::environment)?;
        let server = StoppedServer::lock(paths, self.master_key_file.as_deref(), url)?;
        let (master_key_file, new_file) = (&server.store.master_key_file, new_master_key_file.as_deref());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let (store, found) = match new_file {
                Some(new_file) => Store::open_for_move(&server.store, new_file).await?,
                None => (Store::open_for_command(&server.store).await?, MasterKeyRotation::Done),
            };
            // One that the operator named and that opens nothing here may be another server's: it stays.
            let is_left = found == MasterKeyRotation::WasThere && self.master_key_file.is_some();
            let rotation = match is_left {
                true => found,
                false => store.rotate_master_key(master_key_file, new_file).await?,
            };
            let was_there = rotation == MasterKeyRotation::WasThere;
            let left = (is_left && master_key_file.exists()).then(|| master_key_file.clone());
            let resealed = if self.data_key {
                Some(store.rotate_data_key(new_file.unwrap_or(master_key_file)).await?)
            } else {
                None
            };
            store.close().await;
            Ok(Rotated { resealed, was_there, left })
        })
    }

    fn tell(&self, Rotated { resealed, was_there, left }: &Rotated) -> ExitCode {
        if self.json {
            let moved = self.new_master_key_file.as_ref().map(|file| file.display().to_string());
            let json = serde_json::json!({
                "resealed": resealed, "master_key_file": moved, "was_there": was_there, "left": left,
            });
            let _ = writeln!(io::stdout(), "{json}");
            return ExitCode::SUCCESS;
        }
        let mut text = String::from(match was_there {
            false => "The master key is new; the old one opens nothing any more.",
            true => "The master key was there already: it is not a new one.",
        });
        if let Some(resealed) = resealed {
            text.push_str(&format!(" The data key is new: {resealed} values were sealed again."));
        }
        if let Some(file) = &self.new_master_key_file {
            let file = file.display();
            text.push_str(&format!(
                "\nIt lies in {file}. From now on start the server with --master-key-file {file}, or it will not start."
            ));
        }
        if let Some(left) = left {
            let left = left.display();
            text.push_str(&format!("\n{left} opens nothing of this server and was left: remove it."));
        }
        text.push_str("\nBackups made before need the key of their time; make a new one: paddockd backup");
        crate::say(&text)
    }
}
