//! The build job: source to slug, release, deploy branch.
//!
//! ```text
//! queued ──▶ building ──slug stored, release made──▶ releasing ──branch moved──▶ succeeded
//!               │ failed, cancelled, interrupted by a crash
//!               └──▶ failed (the branch is not moved, the old release goes on serving)
//! ```
//! The release and the phase `releasing` are one transaction; moving the branch is repeated until it is done.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use paddock_build::git::GitError;
use paddock_build::{BuildFailure, BuildLog, BuildOutcome, BuildRequest, FailureKind, Source, SourceArchive};
use paddock_core::buildpack::BuildpackRef;
use paddock_core::config::ConfigVars;
use paddock_core::durable;
use paddock_core::event::{By, Event};
use paddock_core::release::{ReleaseStatus, deploy_description};
use paddock_core::{AccountId, AppId, BuildId, ErrorId, SlugId, SourceId, config};
use paddock_runtime::Limits;
use paddock_store::{App, Build, Job, JobLease, NewSlug, Release, SourceKind};
use paddock_telemetry::OutputWriter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Result;
use crate::deploy::Deploy;
use crate::deploy::release_steps::{ReleaseDraft, add_release};
use crate::kernel::error::{Error, chain};
use crate::kernel::job::Work;

mod fetched_source;
mod own_submodules;

/// The job's kind in its row.
pub(crate) const KIND: &str = "build";
/// The job's first phase.
pub(crate) const QUEUED: &str = "queued";
const BUILDING: &str = "building";
/// Why a build failed that came too late.
const MOVED: &str = "the branch has moved since the push began";
/// What git could not do in so many attempts, half a minute apart, it will not do.
pub(crate) const ATTEMPTS_MAX: i64 = 5;
const RELEASING: &str = "releasing";

/// The longest build. Source: contract `buildpacks.md`, section 12.
const TIME_LIMIT: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// A build's share of the machine: less than any dyno under contention. Memory: what Node's buildpack assumes.
pub(crate) const LIMITS: Limits =
    Limits { memory_bytes: 2560 * 1024 * 1024, cpu_millicores: 100_000, cpu_weight: 50, pids: 4096 };

/// Builds, as a kind of job.
pub(crate) struct Builds(pub(crate) Arc<Deploy>);

#[async_trait]
impl Work for Builds {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, job: &Job, lease: &JobLease) -> Result<()> {
        run(&self.0, job, lease).await
    }
}

/// Runs a build job from wherever it is.
pub(crate) async fn run(deploy: &Deploy, job: &Job, lease: &JobLease) -> Result<()> {
    let id: BuildId = job.subject_id.parse().map_err(|error| Error::internal("read a build job", error))?;
    let Some(build) = deploy.kernel.store.build_by_id(id).await? else {
        // The app was destroyed: its job went with it, and what runs must end.
        return abandon(deploy, id).await;
    };
    let Some(app) = deploy.kernel.store.app(build.app_id).await? else { return abandon(deploy, id).await };
    match job.phase.as_str() {
        QUEUED => match attempt(deploy, &app, &build, job, lease).await {
            // The app was destroyed meanwhile, and the job with it: nobody else will clean up.
            Err(error) if error.id == ErrorId::NotFound => abandon(deploy, id).await,
            result => result,
        },
        RELEASING => conclude(deploy, &app, &build, lease).await,
        _ => {
            clean_up(deploy, id).await?;
            let told = Bytes::from_static(b" !     The build was interrupted by a restart of the server. Push again.\n\n !     Push failed\n");
            if let Ok(mut output) = deploy.outputs.writer(id.uuid()) {
                let _ = output.append(told).await;
            }
            fail(deploy, &app, &build, lease, "interrupted by a restart of the server").await
        }
    }
}

/// Forgets a build that has no row any more; who follows its output is let go.
async fn abandon(deploy: &Deploy, id: BuildId) -> Result<()> {
    clean_up(deploy, id).await?;
    finish_output(deploy, id).await;
    // Who followed it has seen its end.
    deploy.kernel.wakes.garbage.wake();
    Ok(())
}

/// Removes what a build that does not run left on the machine.
pub(crate) async fn clean_up(deploy: &Deploy, id: BuildId) -> Result<()> {
    deploy.builder.abandon(id).await.map_err(|error| Error::internal("clean up after a build", error))?;
    let _ = durable!("build.source_removed", tokio::fs::remove_file(source_file(deploy, id)).await);
    deploy.cancels.end(id);
    Ok(())
}

/// Where a git build's source is put for its container.
fn source_file(deploy: &Deploy, id: BuildId) -> PathBuf {
    deploy.kernel.config.data_dir.join("sources").join(format!("build-{id}.tar"))
}

async fn attempt(deploy: &Deploy, app: &App, build: &Build, job: &Job, lease: &JobLease) -> Result<()> {
    let refused = match is_stale(deploy, app.id, build).await {
        Ok(false) => None,
        Ok(true) => Some(("The branch has moved since this push began. Fetch, merge and push again", MOVED)),
        Err(error) if lease.attempt < ATTEMPTS_MAX => return Err(error),
        // No other build of the app begins before this one ends.
        Err(error) => {
            tracing::error!(app.name = %app.name, build.id = %build.id, error = chain(&error), "a build could not be begun");
            Some((
                "The app's repository cannot be read, see the server's log",
                "the repository could not be read",
            ))
        }
    };
    if let Some((told, why)) = refused {
        if let Ok(mut output) = deploy.outputs.writer(build.id.uuid()) {
            let _ = output.append(format!(" !     {told}.\n\n !     Push failed\n")).await;
        }
        return fail(deploy, app, build, lease, why).await;
    }
    let cancel = deploy.cancels.begin(build.id);
    let mut tx = deploy.kernel.observe_app(app.id, "begin a build").await?;
    tx.set_job_phase(lease, BUILDING).await?;
    tx.commit_quietly("build.begun").await?;
    let by = user_of(deploy, build.account_id).await;
    deploy.kernel.log_api(app.id, format!("Build started by user {by}")).await;
    let output = deploy
        .outputs
        .writer(build.id.uuid())
        .map_err(|error| Error::internal("open a build's output", error))?;
    let built = build_source(deploy, app, build, job, output, cancel).await;
    let _ = durable!("build.source_dropped", tokio::fs::remove_file(source_file(deploy, build.id)).await);
    deploy.cancels.end(build.id);
    match built {
        Ok(outcome) => {
            let (release, notices) = record_outcome(deploy, app, build, lease, outcome).await?;
            tell_release(deploy, app, build, &release, &notices).await;
            deploy.kernel.log_api(app.id, "Build succeeded").await;
            conclude(deploy, app, build, lease).await
        }
        Err(failure) => {
            if let Some(cause) = &failure.source {
                tracing::error!(app.name = %app.name, build.id = %build.id, error = chain(cause.as_ref()), "a build could not be run");
            }
            fail(deploy, app, build, lease, &failure.kind.to_string()).await
        }
    }
}

/// Prepares the source and runs the build; its words go to `output`.
async fn build_source(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    job: &Job,
    mut output: OutputWriter,
    cancel: CancellationToken,
) -> std::result::Result<BuildOutcome, BuildFailure> {
    let (log, mut lines) = mpsc::channel::<Bytes>(64);
    let copy = async {
        while let Some(bytes) = lines.recv().await {
            if let Err(error) = output.append(bytes).await {
                tracing::error!(build.id = %build.id, error = chain(&error), "could not keep a build's output");
            }
        }
    };
    let work = async {
        let prepared = tokio::select! {
            prepared = request_of(deploy, app, build, job, &log) => Some(prepared),
            () = cancel.cancelled() => None,
        };
        let (kind, told, source) = match prepared {
            Some(Ok(request)) => return deploy.builder.build(request, log, cancel).await,
            None => (FailureKind::Canceled, "Build canceled".to_owned(), None),
            Some(Err(error)) if error.id == ErrorId::InternalServerError => {
                (FailureKind::Source, "The source could not be read".to_owned(), Some(error))
            }
            Some(Err(error)) => (FailureKind::Source, error.message, None),
        };
        let _ = log.send(Bytes::from(format!(" !     {told}\n\n !     Push failed\n"))).await;
        Err(BuildFailure { kind, source: source.map(|error| Box::new(error) as _) })
    };
    let (built, ()) = tokio::join!(work, copy);
    built
}

async fn request_of(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    job: &Job,
    log: &BuildLog,
) -> Result<BuildRequest> {
    let source = match build.source_kind {
        SourceKind::Git => git_source(deploy, app, build, log).await?,
        SourceKind::Archive => archive_source(deploy, build, job, log).await?,
    };
    let buildpacks =
        build.buildpacks.iter().map(|url| BuildpackRef::parse(url, deploy.kernel.config.buildpack_urls));
    let buildpacks = buildpacks.collect::<std::result::Result<Vec<_>, _>>();
    let buildpacks = buildpacks.map_err(|error| Error::invalid(error.to_string()))?;
    Ok(BuildRequest {
        build: build.id,
        app: app.id,
        tenant: app.tenant(),
        source,
        buildpacks,
        config_vars: deploy.kernel.store.config_vars(app.id).await?,
        stack: deploy.kernel.config.present(build.stack),
        request_id: build.id.to_string(),
        limits: LIMITS,
        disk_bytes: deploy.kernel.config.build_disk.bytes(),
        time_limit: TIME_LIMIT,
    })
}

async fn git_source(deploy: &Deploy, app: &App, build: &Build, log: &BuildLog) -> Result<Source> {
    let file = source_file(deploy, build.id);
    let _ = durable!("build.source_made_anew", tokio::fs::remove_file(&file).await);
    let commit = &build.source;
    let repositories = &deploy.repositories;
    repositories
        .archive(app.id, commit, &file)
        .await
        .map_err(|error| unreadable("read the pushed commit", error))?;
    let submodules = repositories.submodules(app.id, commit).await;
    let submodules =
        submodules.map_err(|error| Error::internal("read the submodules of the pushed commit", error))?;
    let submodules = own_submodules::add(deploy, app, build, submodules, &file, log).await?;
    Ok(Source { file, archive: SourceArchive::Git { submodules }, version: commit.clone() })
}

/// What is too large is the pusher's to mend.
pub(super) fn unreadable(doing: &'static str, error: GitError) -> Error {
    match error {
        GitError::ArchiveTooLarge { limit, .. } => Error::invalid(format!(
            "The files of this commit, with its submodules, have more than {} MB. Take large files out of the repository: a slug \
             holds at most 500 MB compressed",
            limit >> 20
        )),
        error => Error::internal(doing, error),
    }
}

/// An uploaded source, when `source` is the id of one of our own `/sources`; else one to be fetched from elsewhere.
async fn archive_source(deploy: &Deploy, build: &Build, job: &Job, log: &BuildLog) -> Result<Source> {
    let file = match build.source.parse::<SourceId>() {
        Ok(id) => deploy.source_blob_path(id),
        Err(_) => {
            let file = source_file(deploy, build.id);
            fetched_source::fetch(deploy, build, job.id, &file, log).await?;
            file
        }
    };
    if !file.exists() {
        return Err(Error::invalid("The source blob was not uploaded. PUT it to the source's put_url first"));
    }
    let archive = SourceArchive::Uploaded { checksum: build.source_checksum.clone() };
    Ok(Source { file, archive, version: build.source_version.clone().unwrap_or_default() })
}

/// The slug, the release and the job's next phase, together.
async fn record_outcome(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    lease: &JobLease,
    outcome: BuildOutcome,
) -> Result<(Release, Vec<String>)> {
    let subject = match build.source_kind {
        SourceKind::Git => deploy.repositories.commit_subject(app.id, &build.source).await.ok(),
        SourceKind::Archive => build.source_description.clone(),
    };
    let size_bytes = i64::try_from(outcome.size_bytes).unwrap_or(i64::MAX);
    let slug = NewSlug {
        id: SlugId::from_uuid(Uuid::now_v7()),
        app_id: app.id,
        checksum: Some(format!("SHA256:{}", outcome.layer.hex())),
        layer: outcome.layer.to_string(),
        put_secret_sha256: None,
        size_bytes,
        commit_id: version_of(build),
        commit_description: subject,
        process_types: outcome.process_types,
        buildpack_description: Some(outcome.description),
        stack: build.stack,
        stack_version: deploy.kernel.config.present(build.stack).version,
    };
    let mut tx = deploy.kernel.change_app(app.id, "release what a build made").await?;
    tx.create_slug(&slug).await?;
    let mut first = FirstRelease { config: tx.config_vars(app.id).await?, notices: Vec::new() };
    if tx.formation(app.id).await?.is_empty() {
        first = first_release(first.config, &outcome.config_vars, &outcome.addons);
        tx.set_config(app.id, &first.config).await?;
    }
    let draft = ReleaseDraft {
        description: version_of(build)
            .map_or_else(|| "Deploy".to_owned(), |version| deploy_description(&version)),
        account_id: build.account_id,
        slug_id: Some(slug.id),
        rollback_of: None,
        config: first.config,
    };
    let release = add_release(&mut tx, app.id, draft).await?;
    if let Some(detected) = &outcome.detected
        && tx.buildpacks(app.id).await?.is_empty()
    {
        // What was detected once stays: later pushes do not depend on what detection would say then.
        tx.replace_buildpacks(app.id, &[detected.as_str().to_owned()]).await?;
    }
    tx.set_build_slug(build.id, slug.id).await?;
    tx.set_build_release(build.id, release.id).await?;
    tx.set_job_phase(lease, RELEASING).await?;
    // The router knows before the pusher hears of it: a request that comes right after the push waits for the dyno.
    tx.commit(
        "build.released",
        Event::ReleaseCreated {
            app: app.id,
            version: release.version,
            description: release.description.clone(),
        },
        By::Account(build.account_id),
    )
    .await?;
    Ok((release, first.notices))
}

/// What an app's first release begins with, and what its pusher is told of that.
struct FirstRelease {
    config: ConfigVars,
    notices: Vec<String>,
}

/// What the last buildpack's `bin/release` asks for counts once, and never against what the user has set.
/// Source: contract `buildpacks.md`, section 5.4.
fn first_release(set: ConfigVars, wanted: &ConfigVars, addons: &[String]) -> FirstRelease {
    let (config, refused) = config::with_defaults(&set, wanted);
    let new: Vec<_> = config.keys().filter(|key| !set.contains_key(*key)).map(String::as_str).collect();
    let mut notices = Vec::new();
    if !new.is_empty() {
        notices.push(format!("       Config vars set by the buildpack: {}", new.join(", ")));
    }
    notices.extend(
        refused.iter().map(|reason| format!(" !     Not set, as the buildpack asks for it: {reason}")),
    );
    if !addons.is_empty() {
        notices.push(format!(
            " !     The buildpack asks for add-ons, which are not built on this server yet: {}.\n \
             !     Set what the app needs of them yourself: heroku config:set NAME=VALUE",
            addons.join(", ")
        ));
    }
    FirstRelease { config, notices }
}

fn version_of(build: &Build) -> Option<String> {
    match build.source_kind {
        SourceKind::Git => Some(build.source.clone()),
        SourceKind::Archive => build.source_version.clone(),
    }
}

/// The end of a build's output: `Launching…`, the version and the address.
async fn tell_release(deploy: &Deploy, app: &App, build: &Build, release: &Release, notices: &[String]) {
    let mut text: String = notices.iter().map(|notice| format!("{notice}\n")).collect();
    text.push_str("-----> Launching...\n");
    if release.status == ReleaseStatus::Pending {
        text.push_str(" !     Release command declared: this new release will not be available until the command succeeds.\n");
    }
    text.push_str(&format!("       Released v{}\n", release.version));
    text.push_str(&format!("       {} deployed to Paddock\n\n", deploy.kernel.config.web_url(&app.name)));
    if let Ok(mut output) = deploy.outputs.writer(build.id.uuid())
        && let Err(error) = output.append(text).await
    {
        tracing::error!(build.id = %build.id, error = chain(&error), "could not keep a build's output");
    }
    let by = user_of(deploy, release.account_id).await;
    deploy.kernel.log_api(app.id, format!("{} by user {by}", release.description)).await;
    deploy.kernel.log_api(app.id, format!("Release v{} created by user {by}", release.version)).await;
}

/// Moves the deploy branch, then ends the build. Repeated after a crash: a branch that is there already is right.
async fn conclude(deploy: &Deploy, app: &App, build: &Build, lease: &JobLease) -> Result<()> {
    if let Err(error) = settle_branch(deploy, app.id, build).await {
        if lease.attempt < ATTEMPTS_MAX {
            return Err(error);
        }
        tracing::error!(app.name = %app.name, build.id = %build.id, error = chain(&error),
            "the branch of a build is left where it is; its release stands");
    }
    let repo_bytes =
        deploy.repositories.size_bytes(app.id).await.ok().and_then(|bytes| i64::try_from(bytes).ok());
    let mut tx = deploy.kernel.observe_app(app.id, "end a build well").await?;
    if let Some(bytes) = repo_bytes {
        tx.set_repo_bytes(app.id, bytes).await?;
    }
    tx.succeed_build(build.id).await?;
    tx.succeed_job(lease).await?;
    tx.commit("build.succeeded", Event::BuildSucceeded { app: app.id, build: build.id }, By::Platform)
        .await?;
    finish_output(deploy, build.id).await;
    Ok(())
}

/// Whether the deploy branch is not where the pusher saw it. Only builds move it, and no other build of the app runs
/// now: what is asked here stays true until this build ends.
async fn is_stale(deploy: &Deploy, app: AppId, build: &Build) -> Result<bool> {
    let (SourceKind::Git, Some(branch)) = (build.source_kind, &build.branch) else { return Ok(false) };
    let now = deploy.repositories.resolve(app, branch).await;
    let now = now.map_err(|error| Error::internal("read the deploy branch", error))?.unwrap_or_default();
    // A branch that the pusher saw as new is all zeros on the wire.
    let seen =
        build.old_head.as_deref().filter(|id| id.bytes().any(|digit| digit != b'0')).unwrap_or_default();
    Ok(now != seen)
}

/// Moves the deploy branch to what was built, which then needs no pin any more.
async fn settle_branch(deploy: &Deploy, app: AppId, build: &Build) -> Result<()> {
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

async fn fail(deploy: &Deploy, app: &App, build: &Build, lease: &JobLease, why: &str) -> Result<()> {
    let mut tx = deploy.kernel.observe_app(app.id, "end a build badly").await?;
    tx.fail_build(build.id, why).await?;
    tx.fail_job(lease, why).await?;
    tx.commit(
        "build.failed",
        Event::BuildFailed { app: app.id, build: build.id, why: why.to_owned() },
        By::Platform,
    )
    .await?;
    if build.source_kind == SourceKind::Git
        && let Err(error) = deploy.repositories.unpin(app.id, build.id).await
    {
        tracing::warn!(build.id = %build.id, error = chain(&error), "could not unpin the commit of a failed build");
    }
    deploy.kernel.log_api(app.id, "Build failed -- check your build output").await;
    finish_output(deploy, build.id).await;
    Ok(())
}

/// Ends the output after the build's row says how it ended: who follows it then finds the answer.
async fn finish_output(deploy: &Deploy, id: BuildId) {
    if let Err(error) = deploy.outputs.abandon(id.uuid()).await {
        tracing::error!(build.id = %id, error = chain(&error), "could not finish a build's output");
    }
}

async fn user_of(deploy: &Deploy, account: AccountId) -> String {
    match deploy.kernel.store.account(account).await {
        Ok(Some(account)) => account.email,
        Ok(None) | Err(_) => "unknown".into(),
    }
}
