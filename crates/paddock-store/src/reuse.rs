//! Layers that are kept to be used again, by whatever made them: conversions, steps of Dockerfiles.

use paddock_core::plan::reuse::Reusable;
use paddock_core::{LayerDigest, UnixMicros};

use crate::engine::{self, FromRow, Row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

struct Kept(Reusable);

impl FromRow for Kept {
    fn from_row(row: &Row) -> Result<Self> {
        let bytes: i64 = row.get("size_bytes")?;
        let size_bytes = u64::try_from(bytes).unwrap_or(0);
        Ok(Self(Reusable { layer: row.get("layer")?, size_bytes, used_at: row.get("used_at")? }))
    }
}

statements! {
    ALL = "SELECT layer, size_bytes, used_at FROM converted_layers WHERE server_id = $1 \
        UNION ALL SELECT layer, size_bytes, used_at FROM build_steps WHERE layer <> '' \
        AND app_id IN (SELECT id FROM apps WHERE server_id = $1)";
    FORGET_CONVERTED = "DELETE FROM converted_layers WHERE server_id = $1 AND layer = $2 AND used_at <= $3";
    FORGET_STEPS = "DELETE FROM build_steps WHERE layer = $2 AND used_at <= $3 \
        AND app_id IN (SELECT id FROM apps WHERE server_id = $1)";
}

impl Store {
    /// The layers that are kept on this server to be used again; one may be among them several times.
    pub async fn reusable_layers(&self) -> Result<Vec<Reusable>> {
        let kept = engine::all::<Kept>(&mut *self.reader().await?, ALL, values![self.server.id]).await?;
        Ok(kept.into_iter().map(|Kept(reusable)| reusable).collect())
    }
}

impl Tx {
    /// Keeps a layer no more to be used again, unless it was used after `before`.
    pub async fn forget_reusable(&mut self, layer: &LayerDigest, before: UnixMicros) -> Result<()> {
        for forget in [FORGET_CONVERTED, FORGET_STEPS] {
            self.execute(forget, values![self.server_id, *layer, before]).await?;
        }
        Ok(())
    }
}
