//! Somebody who connects with what a config var says.

use paddock_addons::{Login, Resource};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::bench::Server;

pub(crate) struct Client(PgConnection);

/// What a server says no with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) text: String,
}

impl Refused {
    fn of(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                Self { code: error.code().unwrap_or_default().into_owned(), text: error.message().to_owned() }
            }
            other => Self { code: String::new(), text: other.to_string() },
        }
    }
}

impl Client {
    /// The default login of a resource, in its database.
    pub(crate) async fn of(server: &Server, resource: &Resource) -> Self {
        Self::open(server, &resource.credential.logins[0], &resource.database).await.unwrap()
    }

    pub(crate) async fn open(server: &Server, login: &Login, database: &str) -> Result<Self, Refused> {
        Self::with(server, &login.user, login.password.reveal(), database).await
    }

    pub(crate) async fn with(
        server: &Server,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<Self, Refused> {
        let options = options(server, user, password, database);
        PgConnection::connect_with(&options).await.map(Self).map_err(Refused::of)
    }

    /// With settings of the connection, `-c name=value`.
    pub(crate) async fn asking(
        server: &Server,
        login: &Login,
        database: &str,
        settings: &str,
    ) -> Result<Self, Refused> {
        let settings = settings.split("-c ").filter_map(|one| one.trim().split_once('='));
        let options = options(server, &login.user, login.password.reveal(), database).options(settings);
        PgConnection::connect_with(&options).await.map(Self).map_err(Refused::of)
    }

    /// Statements, of which the last one's rows come back, columns separated by `|`.
    pub(crate) async fn try_run(&mut self, sql: &str) -> Result<Vec<String>, Refused> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.0).await;
        let text = |row: &sqlx::postgres::PgRow| -> String {
            (0..row.len())
                .map(|at| row.try_get_unchecked::<Option<String>, _>(at).unwrap().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("|")
        };
        rows.map(|rows| rows.iter().map(text).collect()).map_err(Refused::of)
    }

    pub(crate) async fn run(&mut self, sql: &str) -> Vec<String> {
        self.try_run(sql).await.unwrap_or_else(|refused| panic!("{sql}: {refused:?}"))
    }

    /// Why a statement is refused.
    ///
    /// # Panics
    /// When it is not.
    pub(crate) async fn refused(&mut self, sql: &str) -> Refused {
        match self.try_run(sql).await {
            Err(refused) => refused,
            Ok(rows) => panic!("{sql} was not refused: {rows:?}"),
        }
    }

    pub(crate) async fn close(self) {
        let _ = self.0.close().await;
    }
}

fn options(server: &Server, user: &str, password: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server.address().port())
        .username(user)
        .password(password)
        .database(database)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(server.access.authority.clone().into_bytes())
}

/// The superuser, in a database.
pub(crate) async fn superuser(server: &Server, database: &str) -> Client {
    Client::with(server, "postgres", server.access.password.reveal(), database).await.unwrap()
}

/// Everything that a resource has on its server, or had: names of its roles and its database.
pub(crate) async fn traces(server: &Server) -> Vec<String> {
    let mut all = superuser(server, "postgres").await;
    let traces = all
        .run(
            "SELECT 'role ' || rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres' \
             UNION ALL SELECT 'database ' || datname FROM pg_database \
             WHERE datname NOT IN ('postgres', 'template0', 'template1') ORDER BY 1",
        )
        .await;
    all.close().await;
    traces
}
