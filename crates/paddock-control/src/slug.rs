//! Slugs: what builds made.

use std::collections::BTreeMap;

use paddock_core::stack::Stack;
use paddock_core::{AppId, ProcessType, SlugId, UnixMicros};

use crate::access::failed;
use crate::{Actor, Control, Error, Result};

/// A slug of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug {
    /// Its id.
    pub id: SlugId,
    /// The app it was asked for.
    pub app_id: AppId,
    /// Bytes.
    pub size_bytes: u64,
    /// `SHA256:` and the digest.
    pub checksum: Option<String>,
    /// The commit, or what the client called the source.
    pub commit: Option<String>,
    /// What the client said of the source.
    pub commit_description: Option<String>,
    /// Command by process type.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What the last buildpack calls itself.
    pub buildpack_description: Option<String>,
    /// What it is laid upon.
    pub stack: Stack,
    /// When it was made.
    pub created_at: UnixMicros,
}

impl Control {
    /// A slug of an app.
    ///
    /// # Errors
    /// `not_found`, also for a slug of another app.
    pub async fn slug(&self, actor: &Actor, app: &str, slug: &str) -> Result<Slug> {
        let app = self.visible_app(actor, app).await?;
        let missing = || Error::not_found("slug");
        let id: SlugId = slug.parse().map_err(|_| missing())?;
        let row = self.store.slug(id).await.map_err(failed("read a slug"))?;
        let row = row.filter(|row| row.app_id == Some(app.id)).ok_or_else(missing)?;
        Ok(Slug {
            id: row.id,
            app_id: app.id,
            size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
            checksum: row.checksum,
            commit: row.commit_id,
            commit_description: row.commit_description,
            process_types: row.process_types,
            buildpack_description: row.buildpack_description,
            stack: row.stack,
            created_at: row.created_at,
        })
    }
}
