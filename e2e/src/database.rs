//! Where the state of a server under test is.

use paddock_testkit::postgres::{PostgresServer, TestDatabase};

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
    #[expect(clippy::disallowed_methods, reason = "the tester says what the journeys run on")]
    pub(crate) fn as_the_tester_says() -> Self {
        match std::env::var("PADDOCK_TESTS_DATABASE").as_deref() {
            Err(_) | Ok("" | "sqlite") => Self::Sqlite,
            Ok("postgres") => {
                let server =
                    PostgresServer::shared().expect("the journeys on PostgreSQL need a server of it");
                Self::Postgres(server.database())
            }
            Ok(other) => panic!("PADDOCK_TESTS_DATABASE is sqlite or postgres, not {other:?}"),
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
