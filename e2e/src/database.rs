//! Where the state of a server under test is.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use paddock_testkit::postgres::{PostgresServer, TestDatabase};

use crate::outcome::run;

/// The file of a database, and a statement.
const ASK_SQLITE: &str = "\
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=30) as database:
    for row in database.execute(sys.argv[2]):
        print(*row)
";

/// SQLite in its data folder, or a database of its own on a PostgreSQL server, which goes with it.
#[derive(Debug)]
pub(crate) enum StateIn {
    /// In the data folder.
    Sqlite,
    /// On the server that all journeys of a run share.
    Postgres(TestDatabase),
}

impl StateIn {
    /// SQLite unless `bin/test --postgres` was asked for.
    ///
    /// # Panics
    /// When there is no PostgreSQL server to start.
    pub(crate) fn as_the_tester_says() -> Self {
        if tests_on_sqlite() {
            return Self::Sqlite;
        }
        let server = PostgresServer::shared().expect("the journeys on PostgreSQL need a server of it");
        Self::Postgres(server.database())
    }

    /// What a statement answers, a line for each row of one column; it is carried out beside the server of this data folder.
    ///
    /// # Panics
    /// When it cannot be carried out.
    pub(crate) fn sql(&self, data: &Path, statement: &str) -> String {
        match self {
            Self::Sqlite => {
                let mut python = Command::new("python3");
                python.args(["-c", ASK_SQLITE]).arg(data.join("db/paddock.sqlite")).arg(statement);
                run(python, b"", Duration::from_secs(60)).succeeded().stdout
            }
            Self::Postgres(database) => database.sql(statement),
        }
    }

    /// What every command of the server's operator finds in the environment.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let url = match self {
            Self::Sqlite => None,
            Self::Postgres(database) => Some(("PADDOCK_DATABASE_URL", database.url())),
        };
        url.into_iter()
    }
}

/// Whether the tester has servers keep their state in SQLite, as they do unless asked otherwise.
///
/// # Panics
/// When neither database is asked for.
#[must_use]
pub fn tests_on_sqlite() -> bool {
    match std::env::var("PADDOCK_TESTS_DATABASE").as_deref() {
        Err(_) | Ok("" | "sqlite") => true,
        Ok("postgres") => false,
        Ok(other) => panic!("PADDOCK_TESTS_DATABASE is sqlite or postgres, not {other:?}"),
    }
}
