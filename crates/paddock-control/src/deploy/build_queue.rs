//! Builds that wait: how one is asked for, and the phases that its job goes through.

use paddock_core::event::{By, Event};
use paddock_core::{AppId, BuildId, ErrorId, JobId, SourceId};
use paddock_store::{App, NewBuild, NewJob, StoreError};
use uuid::Uuid;

use crate::deploy::Deploy;
use crate::kernel::error::chain;
use crate::kernel::job::Phase;
use crate::{Error, Result};

/// The job's kind in its row.
pub(crate) const KIND: &str = "build";

/// How far a build has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuildPhase {
    /// It waits.
    Queued,
    /// Its container runs, or ran when the server was killed.
    Building,
    /// Its release is made: the branch has to follow.
    Releasing,
}

impl Phase for BuildPhase {
    const ALL: &'static [Self] = &[Self::Queued, Self::Building, Self::Releasing];

    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Releasing => "releasing",
        }
    }
}

impl Deploy {
    /// Makes a build and its job, unless another build of the app runs. The secret is the job's.
    pub(crate) async fn enqueue_build(&self, new: &NewBuild, secret: Option<String>) -> Result<()> {
        // Whoever follows the output from now on finds it.
        let begun = self.outputs.writer(new.id.uuid());
        begun.map_err(|error| Error::internal("begin a build's output", error))?;
        let made = self.record_build(new, secret).await;
        if made.is_err()
            && let Err(error) = self.outputs.delete(new.id.uuid()).await
        {
            tracing::warn!(error = chain(&error), "could not remove the output of a build that was refused");
        }
        made
    }

    async fn record_build(&self, new: &NewBuild, secret: Option<String>) -> Result<()> {
        let mut tx = self.kernel.change_app(new.app_id, "begin a build").await?;
        // The version is named by the row from now on, and so stays.
        let stack_version = match new.stack.is_rule() {
            true => String::new(),
            false => self.kernel.version_to_build_on(&mut tx, &new.stack).await?,
        };
        match tx.create_build(&NewBuild { stack_version, ..new.clone() }).await {
            Ok(_) => {}
            Err(StoreError::BuildRunning { id }) => {
                return Err(Error::new(ErrorId::Conflict, still_running(new.app_id, id)));
            }
            Err(error) => return Err(Error::internal("make a build", error)),
        }
        tx.enqueue_job(&NewJob {
            id: JobId::from_uuid(Uuid::now_v7()),
            kind: KIND.into(),
            app_id: Some(new.app_id),
            subject_id: new.id.to_string(),
            phase: BuildPhase::Queued.as_str().into(),
            secret,
            run_at: None,
        })
        .await?;
        tx.commit(
            "build.made",
            Event::BuildCreated { app: new.app_id, build: new.id },
            By::Account(new.account_id),
        )
        .await?;
        Ok(())
    }

    /// Where the bytes of a source are kept.
    pub(crate) fn source_blob_path(&self, id: SourceId) -> std::path::PathBuf {
        self.kernel.config.data_dir.join("sources").join(format!("{id}.tgz"))
    }

    /// The buildpacks a build of this app runs: the installed ones, in order.
    pub(crate) async fn buildpacks_for_build(&self, app: &App) -> Result<Vec<String>> {
        Ok(self.kernel.store.buildpacks(app.id).await?)
    }
}

/// The official CLI has no command that cancels a build, so the call itself is named. The address is the reader's to fill
/// in: what HEROKU_HOST says in the proxy form is a name of Heroku's to curl, which would get the token.
fn still_running(app: AppId, build: BuildId) -> String {
    format!(
        "Build {build} of this app is still running. Wait for it, or cancel it with: \
         curl -X DELETE -H \"Authorization: Bearer $(heroku auth:token)\" \
         -H \"Accept: application/vnd.heroku+json; version=3\" http://ADDRESS/apps/{app}/builds/{build} \
         (ADDRESS: this server's, host:port)"
    )
}
