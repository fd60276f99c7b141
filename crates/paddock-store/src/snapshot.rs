//! A copy of the database at one moment, as a backup needs it.

use std::path::Path;

use sqlx::any::Any;
use sqlx::pool::PoolConnection;

use crate::database::Engine;
use crate::engine::{self, values};
use crate::error::{Result, StoreError};
use crate::{Store, open};

/// SQLite's: one file with everything that is committed, no log beside it. The other engine has tools of its own.
const COPY: &str = "VACUUM INTO $1";

/// While this lives, nobody writes the database: what is read beside it is of the snapshot's moment.
#[must_use = "writes go on when this is dropped"]
pub struct WritesHeld {
    _writer: PoolConnection<Any>,
}

impl Store {
    /// Copies the database to the new file `to`, readable by us alone. Writers wait until the answer is dropped.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the database could not be read.
    pub async fn snapshot(&self, to: &Path) -> Result<WritesHeld> {
        if self.engine() == Engine::Postgres {
            let (doing, instead) = (
                "copy the database",
                "Back it up with PostgreSQL's own pg_dump, and the data folder beside it",
            );
            return Err(StoreError::OnServer { doing, instead });
        }
        let failed = |source: crate::Cause| StoreError::Open { database: to.display().to_string(), source };
        let name = to.to_str().ok_or_else(|| failed("the path is not valid UTF-8".into()))?;
        open::make_private_file(to).map_err(|error| failed(error.into()))?;
        let mut writer = self.writer().await?;
        engine::execute(&mut writer, COPY, values![name]).await?;
        Ok(WritesHeld { _writer: writer })
    }
}
