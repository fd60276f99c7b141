//! A copy of the database at one moment, as a backup needs it: a file of SQLite, whichever engine the store is on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use paddock_files::make_private_file;
use sqlx::Transaction;
use sqlx::any::Any;
use sqlx::pool::PoolConnection;

use crate::database::Engine;
use crate::engine::{self, Number, values};
use crate::error::{Result, StoreError};
use crate::{Store, copy};

/// SQLite's: one file with everything that is committed, no log beside it.
const COPY: &str = "VACUUM INTO $1";

/// PostgreSQL's: whoever changes an app or the platform takes a row of these first. Reads go on.
const HOLD_WRITES: &str = "LOCK TABLE platform, apps IN EXCLUSIVE MODE";
/// What this transaction sees first is what it sees to its end, however long that takes.
const MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const TAKE_YOUR_TIME: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
const OTHER_SERVERS: &str = "SELECT COUNT(*) AS number FROM servers WHERE id <> $1";

/// While this lives, nobody changes an app: what is read beside it is of the snapshot's moment.
#[must_use = "writes go on when this is dropped, and the copy may lack everything"]
pub struct WritesHeld {
    since: Instant,
    held: Held,
}

enum Held {
    /// The only connection that writes; the copy is complete.
    Sqlite { writer: PoolConnection<Any> },
    /// Locks, and the moment that is still to be copied.
    Postgres { locks: Transaction<'static, Any>, moment: Transaction<'static, Any>, to: PathBuf },
}

impl WritesHeld {
    /// Lets writers go on, and completes the copy. How long writers waited.
    ///
    /// # Errors
    /// The database could not be read, or the copy not be written.
    pub async fn release(self) -> Result<Duration> {
        match self.held {
            Held::Sqlite { writer } => {
                drop(writer);
                Ok(self.since.elapsed())
            }
            Held::Postgres { locks, mut moment, to } => {
                locks.rollback().await.map_err(|error| StoreError::Unavailable(error.into()))?;
                let held = self.since.elapsed();
                copy::copy_to_sqlite(&mut moment, &to).await?;
                Ok(held)
            }
        }
    }
}

impl Store {
    /// Copies the database to the new file `to`, readable by us alone. Writers wait until the answer is released; the
    /// copy is complete then.
    ///
    /// # Errors
    /// The file exists or cannot be written, the database could not be read, or other servers share it (`OnServer`).
    pub async fn snapshot(&self, to: &Path) -> Result<WritesHeld> {
        let failed = |source: crate::Cause| StoreError::Open { database: to.display().to_string(), source };
        let name = to.to_str().ok_or_else(|| failed("the path is not valid UTF-8".into()))?;
        let make_file = || make_private_file(to).map(drop).map_err(|error| failed(error.into()));
        let since = Instant::now();
        let held = match self.engine() {
            Engine::Sqlite => {
                make_file()?;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "it holds writes back, and writes a copy alone"
                )]
                let mut writer = self.writer().await?;
                engine::execute(&mut writer, COPY, values![name]).await?;
                Held::Sqlite { writer }
            }
            Engine::Postgres => {
                let held = self.moment(to).await?;
                make_file()?;
                held
            }
        };
        Ok(WritesHeld { since, held })
    }

    async fn moment(&self, to: &Path) -> Result<Held> {
        let away = |error: sqlx::Error| StoreError::Unavailable(error.into());
        let mut locks = self.begin_write().await?;
        engine::execute(&mut locks, HOLD_WRITES, values![]).await?;
        let mut moment = self.begin_read(MOMENT).await?;
        sqlx::raw_sql(TAKE_YOUR_TIME).execute(&mut *moment).await.map_err(away)?;
        let others = engine::one::<Number>(&mut moment, OTHER_SERVERS, values![self.server_id()]).await?;
        if others.is_some_and(|Number(count)| count > 0) {
            return Err(StoreError::OnServer {
                doing: "back up one of several servers on a database",
                instead: "Back the database up with PostgreSQL's own pg_dump, and each data folder beside it",
            });
        }
        Ok(Held::Postgres { locks, moment, to: to.to_owned() })
    }
}
