//! Which database a server uses: SQLite in its data folder, or the PostgreSQL server that the operator names.

use std::path::PathBuf;

use clap::Args;
use paddock_core::ServerId;
use paddock_store::{Database, DatabaseUrl, ServerIdentity};

use crate::kept_file::keep_file;
use crate::paths::Paths;
use crate::start_error::StartError;

/// Names the variable; it keeps a password out of the process list.
pub(crate) const URL_VARIABLE: &str = "PADDOCK_DATABASE_URL";

/// Where the state is, if not in the data folder.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseArgs {
    /// PostgreSQL database to use instead of SQLite in the data folder [env: PADDOCK_DATABASE_URL]
    ///
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE, of PostgreSQL 13 or newer. Other users of this machine see arguments:
    /// give a URL that has a password by the variable or by --database-url-file. A connection over a network is encrypted;
    /// with ?sslmode=verify-full (and &sslrootcert=FILE for a CA of your own) the server has to prove its name too.
    #[arg(long, value_name = "URL", conflicts_with = "database_url_file", value_parser = hidden)]
    database_url: Option<DatabaseUrl>,
    /// File that holds the URL, so that only its owner can read the password
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

/// Never fails, since clap would repeat the URL with its password; [`DatabaseArgs::url`] says what is wrong.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a clap parser")]
fn hidden(text: &str) -> Result<DatabaseUrl, std::convert::Infallible> {
    Ok(DatabaseUrl::new(text))
}

impl DatabaseArgs {
    /// The URL, from an argument, a file or the environment; `None` for SQLite.
    pub(crate) fn url(&self, env: impl Fn(&str) -> Option<String>) -> Result<Option<DatabaseUrl>, String> {
        let (url, from) = match (&self.database_url, &self.database_url_file) {
            (Some(url), _) => (url.clone(), "--database-url".to_owned()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    format!("could not read --database-url-file {}: {error}", file.display())
                })?;
                (DatabaseUrl::new(&text), file.display().to_string())
            }
            (None, None) => match env(URL_VARIABLE).filter(|text| !text.is_empty()) {
                Some(text) => (DatabaseUrl::new(&text), URL_VARIABLE.to_owned()),
                None => return Ok(None),
            },
        };
        match url.problem() {
            None => Ok(Some(url)),
            Some(problem) => Err(format!("the URL in {from} cannot be used: {problem}")),
        }
    }
}

/// The file of SQLite.
pub(crate) fn sqlite_file(paths: &Paths) -> PathBuf {
    paths.data.join("db/paddock.sqlite")
}

/// Says, where SQLite would lie, that the state of this data folder is on a PostgreSQL server, and which.
pub(crate) fn note_file(paths: &Paths) -> PathBuf {
    paths.data.join("db/postgres")
}

/// The database for this data folder. A server never begins anew beside a database that the folder had before: with no
/// app of its own it would clear away what belongs to the others.
pub(crate) fn choose(paths: &Paths, url: Option<DatabaseUrl>) -> Result<Database, StartError> {
    let data = paths.data.display();
    let (sqlite, note) = (sqlite_file(paths), note_file(paths));
    match url {
        None if note.exists() => Err(format!(
            "the state of {data} is in {}. Start with --database-url, --database-url-file or {URL_VARIABLE}",
            std::fs::read_to_string(&note).unwrap_or_default().trim()
        )
        .into()),
        None => Ok(Database::Sqlite(sqlite)),
        Some(_) if sqlite.exists() && !note.exists() => Err(format!(
            "the state of {data} is in SQLite ({}). Copy it first: paddockd database copy --data {data}",
            sqlite.display()
        )
        .into()),
        Some(url) => Ok(Database::Postgres(url)),
    }
}

/// An error where the state is on a PostgreSQL server already: what SQLite has is of the past.
pub(crate) fn not_moved(paths: &Paths) -> Result<(), StartError> {
    match std::fs::read_to_string(note_file(paths)) {
        Ok(url) => Err(format!("the state of {} is in {} already", paths.data.display(), url.trim()).into()),
        Err(_) => Ok(()),
    }
}

/// Who this data folder is in its database; made at its first start.
pub(crate) fn identity(paths: &Paths) -> Result<ServerIdentity, StartError> {
    let file = paths.data.join("server-id");
    let id = match std::fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().map_err(|_| format!("{} holds no id of a server", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = ServerId::from_uuid(uuid::Uuid::new_v4());
            keep_file(&file, &format!("{id}\n"))?;
            id
        }
        Err(error) => return Err(format!("could not read {}: {error}", file.display()).into()),
    };
    let incarnation = uuid::Uuid::new_v4().to_string();
    Ok(ServerIdentity { id, incarnation, known: note_file(paths).exists() })
}

/// Remembers that the state is on a PostgreSQL server from now on.
pub(crate) fn note(paths: &Paths, url: &DatabaseUrl) -> std::io::Result<()> {
    keep_file(&note_file(paths), &format!("{url}\n"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn args(url: Option<&str>, file: Option<&Path>) -> DatabaseArgs {
        DatabaseArgs { database_url: url.map(DatabaseUrl::new), database_url_file: file.map(Path::to_owned) }
    }

    #[test]
    fn a_url_comes_from_an_argument_a_file_or_the_environment() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "postgres://file@db.example/x\n").unwrap();
        let env = |_: &str| Some("postgres://env@db.example/x".to_owned());
        let shown = |args: DatabaseArgs| args.url(env).unwrap().unwrap().to_string();
        assert!(shown(args(Some("postgres://arg@db.example/x"), None)).contains("arg@"));
        assert!(shown(args(None, Some(&file))).contains("file@"));
        assert!(shown(args(None, None)).contains("env@"));
        assert!(args(None, None).url(|_| None).unwrap().is_none());
    }

    #[test]
    fn a_url_that_is_none_is_told_without_repeating_it() {
        let problem = args(Some("postgres//user:s3cr3t@host/x"), None).url(|_| None).unwrap_err();
        assert!(problem.contains("--database-url") && !problem.contains("s3cr3t"), "{problem}");
        let missing = args(None, Some(Path::new("/nowhere/url"))).url(|_| None).unwrap_err();
        assert!(missing.contains("/nowhere/url"), "{missing}");
    }

    #[test]
    fn a_folder_that_has_a_database_does_not_get_another() {
        let folder = tempfile::TempDir::new().unwrap();
        let paths = Paths::new(folder.path().to_owned());
        let url = DatabaseUrl::new("postgres://user:s3cr3t@db.example/x");
        assert!(matches!(choose(&paths, None).unwrap(), Database::Sqlite(_)));
        assert!(matches!(choose(&paths, Some(url.clone())).unwrap(), Database::Postgres(_)), "a new folder");
        std::fs::create_dir_all(folder.path().join("db")).unwrap();
        std::fs::write(sqlite_file(&paths), "").unwrap();
        let refused = choose(&paths, Some(url.clone())).unwrap_err().to_string();
        assert!(refused.contains("paddockd database copy"), "{refused}");
        note(&paths, &url).unwrap();
        assert!(matches!(choose(&paths, Some(url)).unwrap(), Database::Postgres(_)), "after the copy");
        let refused = choose(&paths, None).unwrap_err().to_string();
        assert!(
            refused.contains("postgres://user@db.example:5432/x") && !refused.contains("s3cr3t"),
            "{refused}"
        );
    }
}
