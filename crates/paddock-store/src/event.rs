//! Events: each change that somebody may want to have seen, in the order of the commits.

use paddock_core::{AppId, UnixMicros};

use crate::engine::{self, Number, row, statements, values};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number; later events have greater ones, and there may be gaps.
    pub sequence: i64,
    /// Of which app, which may be gone; `None` for the platform.
    pub app_id: Option<AppId>,
    /// What happened: `release.create`.
    pub kind: String,
    /// The particulars as JSON. No secrets.
    pub payload: String,
    /// When it happened.
    pub created_at: UnixMicros,
}

row!(Event { sequence, kind, payload, created_at } optional { app_id });

statements! {
    SINCE = "SELECT * FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    ADD = "INSERT INTO events (app_id, kind, payload, created_at) VALUES ($1, $2, $3, $4) \
        RETURNING sequence AS number";
    PURGE = "DELETE FROM events WHERE created_at < $1";
}

impl Store {
    /// At most `max` events after `sequence` (0: from the beginning), oldest first.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn events_since(&self, sequence: i64, max: u32) -> Result<Vec<Event>> {
        engine::all(&mut *self.reader().await?, SINCE, values![sequence, max]).await
    }
}

impl Tx {
    /// Adds an event; `payload` is JSON without secrets. Its number.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn event(&mut self, app_id: Option<AppId>, kind: &str, payload: &str) -> Result<i64> {
        let values = values![app_id, kind, payload, self.now];
        let added = self.one::<Number>(ADD, values).await?;
        added
            .map(|Number(sequence)| sequence)
            .ok_or_else(|| StoreError::Gone { noun: "event", id: kind.to_owned() })
    }

    /// Deletes events from before `before`. How many.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn purge_events(&mut self, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![before]).await
    }
}
