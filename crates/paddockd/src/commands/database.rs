//! `paddockd database copy`: moves the state of a stopped server from SQLite to PostgreSQL.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use paddock_core::error::chain;
use paddock_store::{Copied, CopiedTable, DatabaseUrl, copy_to_postgres};

use crate::data_dir::take_lock;
use crate::database::{self, DatabaseArgs};
use crate::paths::Paths;
use crate::start_error::StartError;
use crate::wiring;

/// Where the server's state is
#[derive(Debug, Args)]
pub(crate) struct DatabaseCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Copy the state of a stopped server from SQLite to an empty PostgreSQL database
    ///
    /// All tables are copied in one transaction, read back and compared; on any error nothing is kept. From then on the
    /// server is started with the same URL. The SQLite file is left as it is.
    Copy(CopyArgs),
}

#[derive(Debug, Args)]
struct CopyArgs {
    /// Data folder of the server, which must be stopped
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl DatabaseCommand {
    pub(crate) fn run(self) -> ExitCode {
        let Verb::Copy(args) = self.verb;
        let url = match args.database.url(wiring::environment) {
            Ok(Some(url)) => url,
            Ok(None) => {
                return crate::complain(&format!(
                    "where to? Give --database-url, --database-url-file or {}",
                    database::URL_VARIABLE
                ));
            }
            Err(problem) => return crate::complain(&problem),
        };
        let paths = Paths::new(args.data);
        match copy(&paths, &url) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => crate::complain(&chain(error.as_ref())),
        }
    }
}

fn copy(paths: &Paths, url: &DatabaseUrl) -> Result<(), StartError> {
    let data = paths.data.display();
    let from = database::sqlite_file(paths);
    if !from.exists() {
        return Err(format!("there is no SQLite database in {data} ({})", from.display()).into());
    }
    let _lock = take_lock(&paths.serve_lock())?;
    database::not_moved(paths)?;
    let mut out = std::io::stderr();
    let _ = writeln!(out, "Copying {} to {url}", from.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = |table: &CopiedTable| {
        let _ = writeln!(std::io::stderr(), "  {:<24} {:>9} rows", table.name, table.rows);
    };
    let copied = runtime.block_on(copy_to_postgres(&from, url, &database::identity(paths)?, progress))?;
    // After the commit. Without it the copy is asked for once more, and found to be complete.
    database::note(paths, url)?;
    let (said, tables) = match copied {
        Copied::Now(tables) => ("Copied", tables),
        Copied::Before(tables) => ("An earlier copy is complete:", tables),
    };
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let _ = writeln!(
        out,
        "{said} {rows} rows of {} tables; counts and checksums are the same on both sides.\n\
         Start the server with the same URL: paddockd serve --data {data} --database-url ... (or --database-url-file, or {})\n\
         {} is left as it is and is not read any more.",
        tables.len(),
        database::URL_VARIABLE,
        from.display()
    );
    Ok(())
}
