//! The deploy branch names the commit of the newest successful build: it is looked at before a build, and moved after it.

use paddock_build::git::GitError;
use paddock_core::AppId;
use paddock_store::{Build, SourceKind};

use crate::deploy::Deploy;
use crate::kernel::error::chain;
use crate::{Error, Result};

/// Whether the deploy branch is not where the pusher saw it. Only builds move it, and no other build of the app runs
/// now: what is asked here stays true until this build ends.
pub(super) async fn is_stale(deploy: &Deploy, app: AppId, build: &Build) -> Result<bool> {
    let (SourceKind::Git, Some(branch)) = (build.source_kind, &build.branch) else { return Ok(false) };
    let now = deploy.repositories.resolve(app, branch).await;
    let now = now.map_err(|error| Error::internal("read the deploy branch", error))?.unwrap_or_default();
    // A branch that the pusher saw as new is all zeros on the wire.
    let seen =
        build.old_head.as_deref().filter(|id| id.bytes().any(|digit| digit != b'0')).unwrap_or_default();
    Ok(now != seen)
}

/// Moves the deploy branch to what was built, which then needs no pin any more.
pub(super) async fn settle_branch(deploy: &Deploy, app: AppId, build: &Build) -> Result<()> {
    let (SourceKind::Git, Some(branch)) = (build.source_kind, &build.branch) else { return Ok(()) };
    let old = build.old_head.as_deref().unwrap_or_default();
    move_branch(deploy, app, branch, &build.source, old).await?;
    if let Err(error) = deploy.repositories.unpin(app, build.id).await {
        tracing::warn!(build.id = %build.id, error = chain(&error), "could not unpin a built commit");
    }
    Ok(())
}

async fn move_branch(deploy: &Deploy, app: AppId, branch: &str, new: &str, old: &str) -> Result<()> {
    let repositories = &deploy.repositories;
    let now = repositories
        .resolve(app, branch)
        .await
        .map_err(|error| Error::internal("read the deploy branch", error))?;
    if now.as_deref() == Some(new) {
        return Ok(());
    }
    match repositories.update_ref(app, branch, new, old).await {
        // Somebody moved it by hand, in the repository: the release stands, and what they did as well.
        Err(GitError::RefMoved(name)) => {
            tracing::error!(app.id = %app, "{name} was moved while a build of it ran; it is left where it is");
            Ok(())
        }
        result => result.map_err(|error| Error::internal("move the deploy branch", error)),
    }
}
