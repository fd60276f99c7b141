//! Which database it is, and what the two engines want differently: SQLite in a file of ours, or a PostgreSQL server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What a path keeps in an address that has nothing but it.
const NOT_PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'_').remove(b'.').remove(b'-');

/// The database of a store.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file of ours: `DIR/db/paddock.sqlite`. Made, with its folder, when missing.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server. It must exist; its tables are made.
    Postgres(DatabaseUrl),
}

impl Database {
    pub(crate) const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// What the driver connects to, password and all; why not, if it cannot be.
    pub(crate) fn driver_url(&self) -> Result<String, &'static str> {
        match self {
            Self::Sqlite(path) => path
                .to_str()
                .map(|path| format!("sqlite://{}", utf8_percent_encode(path, NOT_PLAIN)))
                .ok_or("the path is not valid UTF-8"),
            Self::Postgres(url) => url.driver_url(),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Shown, it has neither password nor parameters.
#[derive(Clone)]
pub struct DatabaseUrl(String);

const NOT_A_URL: &str = "it is not of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE";

impl DatabaseUrl {
    /// The URL as the operator wrote it; [`DatabaseUrl::problem`] says whether it is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Why it cannot be used, without a word of it.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        self.options().err()
    }

    fn options(&self) -> Result<PgConnectOptions, &'static str> {
        if !self.0.starts_with("postgres://") && !self.0.starts_with("postgresql://") {
            return Err(NOT_A_URL);
        }
        PgConnectOptions::from_str(&self.0).map_err(|_| NOT_A_URL)
    }

    /// Over a network the connection is encrypted unless the URL has an `sslmode` of its own.
    fn driver_url(&self) -> Result<String, &'static str> {
        let options = self.options()?;
        let local = options.get_socket().is_some() || is_local(options.get_host());
        let (_, query) = self.0.split_once('?').unwrap_or((&self.0, ""));
        let chosen =
            query.split('&').any(|pair| pair.starts_with("sslmode=") || pair.starts_with("ssl-mode="));
        if local || chosen || !matches!(options.get_ssl_mode(), PgSslMode::Prefer) {
            return Ok(self.0.clone());
        }
        let separator = if self.0.contains('?') { '&' } else { '?' };
        Ok(format!("{}{separator}sslmode=require", self.0))
    }
}

fn is_local(host: &str) -> bool {
    host.starts_with('/')
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = self.options() else { return f.write_str("postgres://...") };
        let host = options.get_socket().map_or(options.get_host().into(), |socket| socket.to_string_lossy());
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        write!(f, "postgres://{}@{host}:{}/{database}", options.get_username(), options.get_port())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// What speaks SQL to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Write-ahead log, each commit synced to disk before it is acknowledged.
const SQLITE_SESSION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                              PRAGMA busy_timeout = 10000;";
/// Reads never write; a statement in the wrong place fails instead of taking the lock.
const SQLITE_READER: &str = "PRAGMA query_only = ON;";
/// A commit that is acknowledged is on disk whatever the server's setting is. Nobody holds a lock for ever: neither who
/// waits for one nor who stands still in a transaction, as a server does whose machine was cut off.
const POSTGRES_SESSION: &str = "SELECT set_config('synchronous_commit', 'on', false) \
                                WHERE current_setting('synchronous_commit') = 'off'; \
                                SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
                                SET idle_in_transaction_session_timeout = '30s'; \
                                SET application_name = 'paddockd';";
const POSTGRES_READER: &str = "SET default_transaction_read_only = on;";

impl Engine {
    /// What each connection is told first.
    pub(crate) const fn session(self) -> &'static str {
        match self {
            Self::Sqlite => SQLITE_SESSION,
            Self::Postgres => POSTGRES_SESSION,
        }
    }

    /// What a connection that only reads is told besides.
    pub(crate) const fn reader_session(self) -> &'static str {
        match self {
            Self::Sqlite => SQLITE_READER,
            Self::Postgres => POSTGRES_READER,
        }
    }

    /// How a transaction begins. SQLite takes its one write lock at once: a transaction that reads first could not
    /// become a writer later. On PostgreSQL the first statement is the lock, and what follows must see what was
    /// committed while it waited.
    pub(crate) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// Keeps other servers that start now waiting until this connection is closed. SQLite's own lock does.
    pub(crate) const fn lock_schema(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "SET lock_timeout = 0; SELECT 1 FROM pg_advisory_lock(8098240147720112);",
        }
    }

    /// Most connections that write. SQLite has one: writers queue here, in order, rather than poll for the engine's lock.
    pub(crate) const fn writers(self) -> u32 {
        match self {
            Self::Sqlite => 1,
            Self::Postgres => 4,
        }
    }

    /// How long a use case waits for a connection. As long as clients wait for a server that restarts, where a database
    /// may restart by itself.
    pub(crate) const fn patience(self) -> Duration {
        match self {
            Self::Sqlite => Duration::from_secs(30),
            Self::Postgres => Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let secret =
            "postgres://paddock:s3cr3t%40@db.example:5433/platform?password=s3cr3t&sslmode=verify-full";
        let url = DatabaseUrl::new(secret);
        assert_eq!(url.to_string(), "postgres://paddock@db.example:5433/platform");
        let database = Database::Postgres(url.clone());
        let shown = format!("{url:?} {database:?} {database}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        let broken = DatabaseUrl::new("postgres://user:s3cr3t@host:notaport/x");
        assert!(broken.problem().is_some_and(|problem| !problem.contains("s3cr3t")));
        assert!(!format!("{broken} {broken:?}").contains("s3cr3t"));
        assert!(DatabaseUrl::new("mysql://a@b/c").problem().is_some());
        assert!(DatabaseUrl::new("postgres:///paddock?host=/run/postgresql").problem().is_none());
    }

    #[test]
    fn a_connection_over_a_network_is_encrypted_unless_it_says_otherwise() {
        let driver = |url: &str| DatabaseUrl::new(url).driver_url().unwrap();
        assert!(driver("postgres://a:b@db.example/c").ends_with("/c?sslmode=require"));
        assert!(driver("postgres://a@10.0.0.1/c?application_name=x").ends_with("=x&sslmode=require"));
        for as_given in [
            "postgres://a@db.example/c?sslmode=verify-full",
            "postgres://a@db.example/c?sslmode=disable",
            "postgres://a@127.0.0.1:5433/c",
            "postgres://a@localhost/c",
            "postgres:///c?host=/run/postgresql",
        ] {
            assert_eq!(driver(as_given), as_given);
        }
    }
}
