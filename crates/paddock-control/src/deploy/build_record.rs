//! What is written down of builds, for those who may see their app.

use paddock_core::build::BuildStatus;
use paddock_core::build_record::BuildRecord;
use paddock_core::plan::explain::{Explanation, explain};
use paddock_core::{AppId, AppName, AppRef, BuildId, ErrorId, UnixMicros};
use paddock_store::{App, Build, KeptRecord};

use crate::deploy::Deploy;
use crate::{Actor, Error, Result};

/// A build with its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub app_id: AppId,
    pub build: BuildId,
    pub status: BuildStatus,
    /// Why it failed.
    pub failure: Option<String>,
    pub created_at: UnixMicros,
    pub finished_at: Option<UnixMicros>,
    pub record: BuildRecord,
}

/// A build, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    pub build: BuildId,
    /// The one that it is compared with.
    pub other: Option<BuildId>,
    pub explanation: Explanation,
}

/// What is known of an app to those who build for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildMetadata {
    pub app_id: AppId,
    pub app_name: AppName,
}

impl Deploy {
    /// What a build used, did and made.
    ///
    /// # Errors
    /// `not_found`, also while it runs and where it ended before records were kept.
    pub async fn build_record(&self, actor: &Actor, app: &AppRef, build: &str) -> Result<Recorded> {
        let app = self.kernel.visible_app(actor, app).await?;
        let (row, record) = self.recorded(&app, build).await?;
        Ok(Recorded {
            app_id: app.id,
            build: row.id,
            status: row.status,
            failure: row.failure,
            created_at: row.created_at,
            finished_at: row.finished_at,
            record,
        })
    }

    /// Why a build was as it was, and what differs from another one of the app.
    ///
    /// # Errors
    /// `not_found` for either build, as [`Self::build_record`].
    pub async fn explain_build(
        &self,
        actor: &Actor,
        app: &AppRef,
        build: &str,
        other: Option<&str>,
    ) -> Result<Explained> {
        let app = self.kernel.visible_app(actor, app).await?;
        let (row, record) = self.recorded(&app, build).await?;
        let other = match other {
            Some(other) => Some(self.recorded(&app, other).await?),
            None => None,
        };
        let explanation = explain(&record, other.as_ref().map(|(_, record)| record));
        Ok(Explained { build: row.id, other: other.map(|(row, _)| row.id), explanation })
    }

    /// The app that is built for.
    pub async fn build_metadata(&self, actor: &Actor, app: &AppRef) -> Result<BuildMetadata> {
        let app = self.kernel.visible_app(actor, app).await?;
        Ok(BuildMetadata { app_id: app.id, app_name: app.name.clone() })
    }

    async fn recorded(&self, app: &App, build: &str) -> Result<(Build, BuildRecord)> {
        let row = self.build_row(app, build).await?;
        match self.kernel.store.build_record(app.id, row.id).await? {
            Some(KeptRecord(record)) => Ok((row, record)),
            None if row.status == BuildStatus::Pending => {
                let text = format!("Build {} is still running: its record is written at its end.", row.id);
                Err(Error::new(ErrorId::NotFound, text))
            }
            None => {
                let text = format!("Build {} has no record: an older version of this server ran it.", row.id);
                Err(Error::new(ErrorId::NotFound, text))
            }
        }
    }
}
