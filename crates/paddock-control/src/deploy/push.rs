//! What a `git push` becomes: receive-pack only watches. The objects are stored and pinned, the build is a row and a
//! job; a pusher who goes away changes nothing. Texts: `docs/contract/buildpacks.md`, sections 1.2 and 8.

use std::sync::Arc;

use paddock_build::git::push::{DECLINED, plan};
use paddock_build::git::{HookListener, PushReply, PushRequest, PushResult, PushVerdict, Pusher, RefCommand};
use paddock_core::build::BuildStatus;
use paddock_core::release::ReleaseStatus;
use paddock_core::{AppId, BuildId, ErrorId};
use paddock_store::{App, NewBuild, Release, SourceKind};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Result;
use crate::deploy::Deploy;
use crate::kernel::access::may_operate;
use crate::kernel::error::{Error, chain};

/// Takes pushes until `stop`.
pub async fn receive_pushes(deploy: Arc<Deploy>, listener: HookListener, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(request) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a push goes on as long as its build or its client does"
                )]
                tokio::spawn(handle(deploy.clone(), request));
            }
            Err(error) => tracing::warn!(error = chain(&error), "could not take a push"),
        }
    }
}

async fn handle(deploy: Arc<Deploy>, request: PushRequest) {
    let PushRequest { app, pusher, commands, reply } = request;
    // A transfer may take hours: whoever was removed from the app meanwhile pushes nothing.
    let refused = match may_operate(&deploy.kernel.store, pusher.account, app).await {
        Ok(true) => None,
        Ok(false) => Some(Error::not_found("app")),
        Err(error) => Some(error.into()),
    };
    if let Some(error) = refused {
        tell_rejected(&error, &pusher, &reply);
        let refuse = |command: RefCommand| PushResult {
            name: command.name,
            verdict: PushVerdict::Refuse(DECLINED.into()),
        };
        return reply.finish(commands.into_iter().map(refuse).collect()).await;
    }
    let plan = plan(&commands);
    for notice in &plan.notices {
        reply.line(notice);
    }
    let mut results = plan.others;
    if let Some(command) = plan.deploy {
        let verdict = match deploy.deploy(app, &pusher, &command, &reply).await {
            Ok(verdict) => verdict,
            Err(error) => {
                tell_rejected(&error, &pusher, &reply);
                PushVerdict::Refuse(DECLINED.into())
            }
        };
        results.push(PushResult { name: command.name, verdict });
    }
    reply.finish(results).await;
}

fn tell_rejected(error: &Error, pusher: &Pusher, reply: &PushReply) {
    if error.id == ErrorId::InternalServerError {
        tracing::error!(request.id = pusher.request_id, error = chain(error), "a push failed");
    }
    reply.line(&format!("!\tPush rejected: {}", error.message));
}

impl Deploy {
    /// Builds and releases what a deploy branch was pushed to, telling the pusher as it goes.
    async fn deploy(
        &self,
        app: AppId,
        pusher: &Pusher,
        command: &RefCommand,
        reply: &PushReply,
    ) -> Result<PushVerdict> {
        let app = self.kernel.store.app(app).await?.ok_or_else(|| Error::not_found("app"))?;
        let Some(commit) = self.pushed_commit(&app, command).await? else {
            let branch = command.name.trim_start_matches("refs/heads/");
            reply.line(&format!(
                "!\tPush rejected, {branch} can only name a commit, and what was pushed is none."
            ));
            return Ok(PushVerdict::Refuse(DECLINED.into()));
        };
        let id = match self.enqueue_push(&app, pusher, command, &commit).await {
            Ok(id) => id,
            Err(error) if error.id == ErrorId::Conflict => {
                reply.line(&format!("!\tPush rejected, another build is in progress. {}", error.message));
                return Ok(PushVerdict::Refuse(DECLINED.into()));
            }
            Err(error) => return Err(error),
        };
        reply.line("Compressing source files... done.");
        reply.line("Building source:");
        reply.line("");
        self.copy_output(id.uuid(), reply).await?;
        let build = self.kernel.store.build(app.id, id).await?;
        let build = build.ok_or_else(|| Error::new(ErrorId::NotFound, "the app was destroyed meanwhile."))?;
        if build.status != BuildStatus::Succeeded {
            reply.line("Verifying deploy...");
            reply.line("");
            reply.line(&format!("!\tPush rejected to {}.", app.name));
            reply.line("");
            return Ok(PushVerdict::Refuse(DECLINED.into()));
        }
        reply.line("Verifying deploy... done.");
        if let Some(id) = build.release_id
            && let Some(release) = self.kernel.store.release(app.id, id).await?
        {
            self.tell_release_phase(&app, &release, reply).await?;
            for line in self.verify_release(&app, &release).await? {
                reply.line(&line);
            }
        }
        Ok(if commit == command.new { PushVerdict::Done } else { PushVerdict::DoneAs(commit) })
    }

    /// The commit behind what was pushed: an annotated tag is followed to its own; a tree or a file has none.
    async fn pushed_commit(&self, app: &App, command: &RefCommand) -> Result<Option<String>> {
        let found = self.repositories.resolve(app.id, &command.new).await;
        found.map_err(|error| Error::internal("look at what was pushed", error))
    }

    /// Pins the pushed commit, then makes the build and its job.
    async fn enqueue_push(
        &self,
        app: &App,
        pusher: &Pusher,
        command: &RefCommand,
        commit: &str,
    ) -> Result<BuildId> {
        let id = BuildId::from_uuid(Uuid::now_v7());
        // Pinned first: a build without its commit would be lost, a pin without build is garbage.
        let pinned = self.repositories.pin(app.id, id, commit).await;
        pinned.map_err(|error| Error::internal("pin the pushed commit", error))?;
        let new = NewBuild {
            id,
            app_id: app.id,
            source_kind: SourceKind::Git,
            source: commit.to_owned(),
            source_version: Some(commit.to_owned()),
            source_description: None,
            source_checksum: None,
            account_id: pusher.account,
            buildpacks: self.buildpacks_for_build(app).await?,
            stack: app.build_stack.clone(),
            stack_version: String::new(),
            branch: Some(command.name.clone()),
            old_head: Some(command.old.clone()),
        };
        let made = self.enqueue_build(&new, None).await;
        if made.is_err() {
            let unpinned = self.repositories.unpin(app.id, id).await;
            unpinned.map_err(|error| Error::internal("unpin a commit that is not built", error))?;
        }
        made.map(|()| id)
    }

    /// Shows an output to the pusher until it is finished.
    async fn copy_output(&self, id: Uuid, reply: &PushReply) -> Result<()> {
        let follow = self.outputs.follow(id);
        let mut follow = follow.map_err(|error| Error::internal("follow an output", error))?;
        while let Some(bytes) =
            follow.next().await.map_err(|error| Error::internal("follow an output", error))?
        {
            reply.progress(&bytes);
        }
        Ok(())
    }

    /// The release phase, as the pusher sees it. The push has succeeded whatever becomes of it.
    async fn tell_release_phase(&self, app: &App, release: &Release, reply: &PushReply) -> Result<()> {
        if release.release_command.is_none() {
            return Ok(());
        }
        reply.line("Running release command...");
        reply.line("");
        let begun = self.outputs.writer(release.id.uuid());
        drop(begun);
        self.copy_output(release.id.uuid(), reply).await?;
        let release = self
            .kernel
            .store
            .release(app.id, release.id)
            .await?
            .ok_or_else(|| Error::not_found("release"))?;
        if release.status == ReleaseStatus::Succeeded {
            reply.line("Waiting for release.... done.");
            return Ok(());
        }
        reply.line("Waiting for release.... failed.");
        let serving = self
            .kernel
            .store
            .current_release(app.id)
            .await?
            .map_or_else(|| "nothing".to_owned(), |current| format!("v{}", current.version));
        reply.line(&format!(
            "!\tRelease command failed: v{} was not released, {serving} goes on serving.",
            release.version
        ));
        Ok(())
    }
}
