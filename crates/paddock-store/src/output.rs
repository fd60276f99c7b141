//! What an output belongs to: the build or the release with the same id.

use uuid::Uuid;

use crate::Store;
use crate::engine::{self, Word, statements, values};
use crate::error::Result;

statements! {
    OWNER = "SELECT status AS word FROM builds WHERE id = $1 \
        UNION ALL SELECT status AS word FROM releases WHERE id = $1";
}

impl Store {
    /// Whether the build or the release with this id has still to end; `None` where there is neither.
    pub async fn is_pending(&self, id: Uuid) -> Result<Option<bool>> {
        let owner = engine::one::<Word>(&mut *self.reader().await?, OWNER, values![id.to_string()]).await?;
        Ok(owner.map(|Word(status)| status == "pending"))
    }
}
