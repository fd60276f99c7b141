//! The platform's own row: its generation, the counters that no app owns, the wrapped data key.

use crate::engine::{self, Number, statements, values};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};
use paddock_core::durable;

statements! {
    NEXT_ROUTES_GENERATION = "UPDATE platform SET routes_generation = \
        CASE WHEN routes_generation < $1 THEN $1 ELSE routes_generation END + 1 WHERE id = 1 \
        RETURNING routes_generation AS number";
    NEXT_ID_RANGE = "UPDATE platform SET next_id_range = next_id_range + 1 WHERE id = 1 \
        RETURNING next_id_range - 1 AS number";
    GENERATION = "SELECT generation AS number FROM platform WHERE id = 1";
}

pub(crate) const DATA_KEY: &str = "SELECT data_key AS sealed FROM platform WHERE id = 1";
pub(crate) const SET_DATA_KEY: &str = "UPDATE platform SET data_key = $1 WHERE id = 1 AND data_key IS NULL";

impl Store {
    /// The generation of the platform: bumped by each [`Store::begin_platform`] that was committed.
    pub async fn platform_generation(&self) -> Result<i64> {
        let mut connection = self.reader().await?;
        let row = engine::one::<Number>(&mut connection, GENERATION, values![]).await?;
        number(row)
    }

    /// A number for the next route table, greater than all before and than `known`, on disk before it is answered.
    pub async fn next_routes_generation(&self, known: i64) -> Result<i64> {
        #[expect(clippy::disallowed_methods, reason = "the connection of a statement that has a name")]
        let mut connection = self.writer().await?;
        let row = durable!(
            "routes.numbered",
            engine::one::<Number>(&mut connection, NEXT_ROUTES_GENERATION, values![known]).await
        )?;
        number(row)
    }
}

impl Tx {
    /// A range of ids that no app ever had.
    pub(crate) async fn next_id_range(&mut self) -> Result<u32> {
        let row = self.one::<Number>(NEXT_ID_RANGE, values![]).await?;
        u32::try_from(number(row)?).map_err(|_| StoreError::UnknownValue { column: "next_id_range" })
    }
}

fn number(row: Option<Number>) -> Result<i64> {
    row.map(|Number(number)| number).ok_or_else(|| StoreError::Gone { noun: "platform", id: "1".to_owned() })
}
