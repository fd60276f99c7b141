//! `paddockd buildpacks`: archives that buildpacks' names mean, for servers that reach no registry, and of the operator's own.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest, BuildpackLine};

use super::ask::asked;
use super::progress::megabytes;
use super::stop::not_running;
use super::table::{minute, table};
use crate::paths::Paths;

/// The server fetches it in that time, or looks through a large one.
const PATIENCE: Duration = Duration::from_secs(150);

/// Gives archives of buildpacks a name on a running server, and lists those that have one.
///
/// Whoever names heroku/ruby gets what was imported by that name, also where nothing can be fetched. The name of a buildpack that is
/// built into the server (heroku/python) means the imported one on stacks called heroku-NN, and the built-in one on all others.
#[derive(Debug, Args)]
pub(crate) struct BuildpacksArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Have a name mean an archive (.tgz): each further one of the same name is a version more, and the newest runs
    Import {
        /// Name of the buildpack, such as heroku/ruby
        name: String,
        /// The archive: a file here, or an address that the server may fetch from
        #[arg(value_name = "FILE|URL")]
        archive: String,
        /// Data folder of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// List what was imported, and what was fetched last for each name (version 0)
    List {
        /// Data folder of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
}

impl BuildpacksArgs {
    pub(crate) fn run(self) -> ExitCode {
        match self.verb {
            Verb::Import { name, archive, data } => import(name, &archive, data),
            Verb::List { data, json } => asked(data, &AdminRequest::ListBuildpacks, |answer| match answer {
                AdminAnswer::Buildpacks { buildpacks } => {
                    let list =
                        if json { format!("{}\n", serde_json::json!(buildpacks)) } else { shown(buildpacks) };
                    // A closed pipe is the reader's choice.
                    let _ = io::stdout().write_all(list.as_bytes());
                    Some(ExitCode::SUCCESS)
                }
                _ => None,
            }),
        }
    }
}

fn import(name: String, archive: &str, data: PathBuf) -> ExitCode {
    let paths = Paths::new(data);
    let is_address = archive.starts_with("https://") || archive.starts_with("http://");
    let file = match is_address.then_some(None).map_or_else(|| File::open(archive).map(Some), Ok) {
        Ok(file) => file,
        Err(error) => return crate::complain(&format!("{archive} cannot be read: {error}")),
    };
    let request = AdminRequest::ImportBuildpack { name, url: is_address.then(|| archive.to_owned()) };
    let descriptors: Vec<_> = file.iter().map(AsFd::as_fd).collect();
    let answered = admin::send(&paths.admin_socket(), &request, &descriptors, PATIENCE)
        .and_then(|stream| admin::receive(&stream));
    match answered {
        Ok(AdminAnswer::BuildpackImported { buildpack, was_there }) => {
            let BuildpackLine { name, version, sha256, .. } = buildpack;
            let what = if was_there { "is already" } else { "is now" };
            crate::say(&format!("{name} {what} version {version}, sha256:{sha256}"))
        }
        Ok(AdminAnswer::Refused { reason }) => crate::complain(&reason),
        Ok(other) => crate::complain(&format!("the server gave an answer that does not fit: {other:?}")),
        Err(error) if not_running(&error) => crate::complain(&format!(
            "no server answers for {0} ({error}). Start one with: paddockd serve --data {0}",
            paths.data.display()
        )),
        Err(error) => crate::complain(&format!("the server did not answer: {error}")),
    }
}

fn shown(buildpacks: &[BuildpackLine]) -> String {
    let rows: Vec<_> = buildpacks
        .iter()
        .map(|one| {
            let version = if one.version == 0 { "fetched".to_owned() } else { one.version.to_string() };
            let size = megabytes(u64::try_from(one.size_bytes).unwrap_or(0));
            [
                one.name.clone(),
                version,
                one.sha256[..12.min(one.sha256.len())].to_owned(),
                size,
                minute(Some(&one.added_at)),
            ]
        })
        .collect();
    table(["buildpack", "version", "sha256", "size", "added (UTC)"], &rows)
}
