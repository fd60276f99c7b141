//! What an output belongs to: the build or the release with the same id.

use uuid::Uuid;

use crate::Store;
use crate::engine::{self, row, statements, values};
use crate::error::Result;

struct Owner {
    status: String,
}

row!(Owner { status } optional {});

statements! {
    OWNER = "SELECT status FROM builds WHERE id = $1 UNION ALL SELECT status FROM releases WHERE id = $1";
}

impl Store {
    /// Whether the build or the release with this id has still to end; `None` where there is neither.
    pub async fn is_pending(&self, id: Uuid) -> Result<Option<bool>> {
        let owner = engine::one::<Owner>(&mut *self.reader().await?, OWNER, values![id.to_string()]).await?;
        Ok(owner.map(|Owner { status }| status == "pending"))
    }
}
