//! What steps of Dockerfiles came to, for the app's next build.

use paddock_core::{AppId, LayerDigest, UnixMicros};

use crate::Tx;
use crate::engine::{FromRow, Row, statements, values};
use crate::error::Result;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStep {
    /// `None` for a step that wrote nothing.
    pub layer: Option<LayerDigest>,
    pub size_bytes: i64,
}

impl FromRow for BuildStep {
    fn from_row(row: &Row) -> Result<Self> {
        let layer: String = row.get("layer")?;
        let layer = if layer.is_empty() { None } else { Some(row.get("layer")?) };
        Ok(Self { layer, size_bytes: row.get("size_bytes")? })
    }
}

statements! {
    BY_KEY = "SELECT layer, size_bytes FROM build_steps WHERE app_id = $1 AND key = $2";
    USED = "UPDATE build_steps SET used_at = $3 WHERE app_id = $1 AND key = $2";
    KEEP = "INSERT INTO build_steps (app_id, key, layer, size_bytes, used_at) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (app_id, key) DO UPDATE SET layer = excluded.layer, size_bytes = excluded.size_bytes, \
        used_at = excluded.used_at";
    // Those with a layer go with that, when there are too many.
    FORGET_EMPTY = "DELETE FROM build_steps WHERE layer = '' AND used_at < $2 \
        AND app_id IN (SELECT id FROM apps WHERE server_id = $1)";
    FORGET = "DELETE FROM build_steps WHERE app_id = $1";
}

impl Tx {
    /// What the step with this key came to; it counts as used now.
    pub async fn use_build_step(&mut self, app: AppId, key: &str) -> Result<Option<BuildStep>> {
        let now = self.now;
        if self.execute(USED, values![app, key, now]).await? == 0 {
            return Ok(None);
        }
        self.one::<BuildStep>(BY_KEY, values![app, key]).await
    }

    /// Keeps what a step came to.
    pub async fn keep_build_step(&mut self, app: AppId, key: &str, step: &BuildStep) -> Result<()> {
        let layer = step.layer.as_ref().map(ToString::to_string).unwrap_or_default();
        let now = self.now;
        self.execute(KEEP, values![app, key, layer, step.size_bytes, now]).await.map(drop)
    }

    /// Forgets the steps that wrote nothing and were not used since `before`. How many.
    pub async fn forget_empty_build_steps(&mut self, before: UnixMicros) -> Result<u64> {
        self.execute(FORGET_EMPTY, values![self.server_id, before]).await
    }

    /// Forgets all steps of an app: its next build does each again.
    pub async fn forget_build_steps(&mut self, app: AppId) -> Result<()> {
        self.execute(FORGET, values![app]).await.map(drop)
    }
}
