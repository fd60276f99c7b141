//! How many there are of what: numbers for the operator.

use paddock_core::UnixMicros;

use crate::Store;
use crate::engine::{self, FromRow, Row, statements, values};
use crate::error::Result;

statements! {
    APPS = "SELECT 'all' AS word, COUNT(*) AS number FROM apps";
    BUILDS = "SELECT status AS word, COUNT(*) AS number FROM builds GROUP BY status ORDER BY status";
    RELEASES = "SELECT status AS word, COUNT(*) AS number FROM releases GROUP BY status ORDER BY status";
    DYNOS = "SELECT state AS word, COUNT(*) AS number FROM dynos GROUP BY state ORDER BY state";
    OPEN_JOBS = "SELECT kind, state, COUNT(*) AS number, MIN(created_at) AS oldest_at FROM jobs \
        WHERE state IN ('pending', 'running') GROUP BY kind, state ORDER BY kind, state";
}

/// How many rows have this word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub word: String,
    pub number: i64,
}

impl FromRow for Count {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { word: row.get("word")?, number: row.get("number")? })
    }
}

/// Jobs of one kind that wait, or that run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenJobs {
    pub kind: String,
    /// Whether they wait or run.
    pub state: String,
    pub number: i64,
    /// When the oldest of them was made.
    pub oldest_at: UnixMicros,
}

impl FromRow for OpenJobs {
    fn from_row(row: &Row) -> Result<Self> {
        let (kind, state) = (row.get("kind")?, row.get("state")?);
        Ok(Self { kind, state, number: row.get("number")?, oldest_at: row.get("oldest_at")? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Apps, all of them.
    Apps,
    /// Builds by status.
    Builds,
    /// Releases by status.
    Releases,
    /// Dynos by state.
    Dynos,
}

impl Store {
    pub async fn count(&self, counted: Counted) -> Result<Vec<Count>> {
        let statement = match counted {
            Counted::Apps => APPS,
            Counted::Builds => BUILDS,
            Counted::Releases => RELEASES,
            Counted::Dynos => DYNOS,
        };
        engine::all(&mut *self.reader().await?, statement, values![]).await
    }

    /// Jobs that have not ended.
    pub async fn open_jobs(&self) -> Result<Vec<OpenJobs>> {
        engine::all(&mut *self.reader().await?, OPEN_JOBS, values![]).await
    }
}
