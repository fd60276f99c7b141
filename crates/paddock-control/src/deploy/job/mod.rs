//! The build job: source to slug, release, deploy branch.
//!
//! ```text
//! queued ──▶ building ──slug stored, release made──▶ releasing ──branch moved──▶ succeeded
//!               │ failed, cancelled, interrupted by a crash
//!               └──▶ failed (the branch is not moved, the old release goes on serving)
//! ```
//! The release and the phase `releasing` are one transaction; moving the branch is repeated until it is done.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use paddock_build::image::{ImageOutcome, ImagePorts};
use paddock_build::{BuildFailure, BuildLog, BuildOutcome, BuildRequest, FailureKind};
use paddock_core::build_record::{BuildRecord, ToldBy};
use paddock_core::config::ConfigVars;
use paddock_core::durable;
use paddock_core::event::{By, Event};
use paddock_core::{BuildId, ErrorId};
use paddock_store::{App, Build, Job, JobLease, Slug, SourceKind};
use paddock_telemetry::OutputWriter;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::deploy::Deploy;
use crate::deploy::build_queue::{BuildPhase, KIND};
use crate::deploy::buildpack::resolve::{self, Resolved};
use crate::deploy::job::branch::{is_stale, settle_branch};
use crate::deploy::job::release::record_outcome;
use crate::deploy::job::source::{request_of, source_file};
use crate::deploy::job::text::{finish_output, tell_release, user_of};
use crate::deploy::layers_in_use::Using;
use crate::kernel::error::{Error, chain};
use crate::kernel::job::{Phase, Work};

mod again;
mod branch;
mod fetched_source;
mod image_ports;
mod own_submodules;
mod record;
mod release;
mod source;
mod text;

pub(crate) use source::LIMITS;

/// Why a build failed that came too late.
const MOVED: &str = "the branch has moved since the push began";
/// After this many failed attempts, half a minute apart, git is given up on.
pub(crate) const ATTEMPTS_MAX: i64 = 5;

/// The config var that narrows a source to a folder.
const PROJECT_PATH: &str = "PROJECT_PATH";

/// What a build made.
enum Made {
    /// With the config vars that it was made with.
    Slug(Box<(BuildOutcome, ConfigVars)>),
    /// What a build made before.
    Again(Box<(Slug, BuildRecord)>),
    Images(ImageOutcome),
}

impl Made {
    /// What is known of how it was made.
    fn take_record(&mut self) -> BuildRecord {
        std::mem::take(match self {
            Self::Slug(made) => &mut made.0.record,
            Self::Again(made) => &mut made.1,
            Self::Images(outcome) => &mut outcome.record,
        })
    }
}

/// Builds, as a kind of job.
pub(crate) struct Builds(pub(crate) Arc<Deploy>);

#[async_trait]
impl Work for Builds {
    const KIND: &'static str = KIND;
    type Phase = BuildPhase;

    async fn run(&self, job: &Job, phase: BuildPhase, lease: &JobLease) -> Result<()> {
        run(&self.0, job, phase, lease).await
    }
}

/// Runs a build job from wherever it is.
pub(crate) async fn run(deploy: &Deploy, job: &Job, phase: BuildPhase, lease: &JobLease) -> Result<()> {
    let id: BuildId = job.subject_id.parse().map_err(|error| Error::internal("read a build job", error))?;
    let Some(build) = deploy.kernel.store.build_by_id(id).await? else {
        // The app was destroyed: its job went with it, and what runs must end.
        return abandon(deploy, id).await;
    };
    let Some(app) = deploy.kernel.store.app(build.app_id).await? else { return abandon(deploy, id).await };
    match phase {
        BuildPhase::Queued => match attempt(deploy, &app, &build, job, lease).await {
            // The app was destroyed meanwhile, and the job with it: nobody else will clean up.
            Err(error) if error.id == ErrorId::NotFound => abandon(deploy, id).await,
            result => result,
        },
        BuildPhase::Releasing => conclude(deploy, &app, &build, lease).await,
        BuildPhase::Building => {
            clean_up(deploy, id).await?;
            let told = Bytes::from_static(b" !     The build was interrupted by a restart of the server. Push again.\n\n !     Push failed\n");
            if let Ok(mut output) = deploy.outputs.writer(id.uuid()) {
                let _ = output.append(told).await;
            }
            fail(deploy, &app, &build, lease, "interrupted by a restart of the server", None).await
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
        return fail(deploy, app, build, lease, why, None).await;
    }
    let cancel = deploy.cancels.begin(build.id);
    let by = user_of(deploy, build.account_id).await;
    let mut tx = deploy.kernel.observe_app(app.id, "begin a build").await?;
    tx.set_job_phase(lease, BuildPhase::Building.as_str()).await?;
    tx.say(app.id, format!("Build started by user {by}"));
    tx.commit_quietly("build.begun").await?;
    let output = deploy
        .outputs
        .writer(build.id.uuid())
        .map_err(|error| Error::internal("open a build's output", error))?;
    // Until a release names what it came to.
    let using = deploy.layers_in_use.begin(build.id);
    let built = build_source(deploy, (app, build), &using, job, output, cancel).await;
    let _ = durable!("build.source_dropped", tokio::fs::remove_file(source_file(deploy, build.id)).await);
    deploy.cancels.end(build.id);
    match built {
        Ok((outcome, resolved)) => {
            let (release, notices) = record_outcome(deploy, app, build, lease, outcome, &resolved).await?;
            tell_release(deploy, app, build, &release, &notices).await;
            deploy.kernel.log_api(app.id, "Build succeeded").await;
            conclude(deploy, app, build, lease).await
        }
        Err(failure) => {
            if let Some(cause) = &failure.source {
                tracing::error!(app.name = %app.name, build.id = %build.id, error = chain(cause.as_ref()), "a build could not be run");
            }
            fail(deploy, app, build, lease, &failure.kind.to_string(), Some(*failure.record)).await
        }
    }
}

/// Prepares the source and runs the build; its words go to `output`.
async fn build_source(
    deploy: &Deploy,
    (app, build): (&App, &Build),
    using: &Using<'_>,
    job: &Job,
    mut output: OutputWriter,
    cancel: CancellationToken,
) -> std::result::Result<(Made, Resolved), BuildFailure> {
    let (log, mut lines) = mpsc::channel::<Bytes>(64);
    let copy = async {
        while let Some(bytes) = lines.recv().await {
            if let Err(error) = output.append(bytes).await {
                tracing::error!(build.id = %build.id, error = chain(&error), "could not keep a build's output");
            }
        }
    };
    let work = async {
        let mut about = record::begun(deploy, build);
        let prepared = tokio::select! {
            prepared = prepare(deploy, app, build, job, &mut about, &log) => Some(prepared),
            () = cancel.cancelled() => None,
        };
        let (kind, told, source) = match prepared {
            Some(Ok((Prepared::Request(request), resolved))) => {
                let made = run_build(deploy, build, using, (*request, about), log, cancel).await;
                return made.map(|made| (made, resolved));
            }
            Some(Ok((Prepared::Again(slug), resolved))) => {
                return Ok((Made::Again(Box::new((*slug, about))), resolved));
            }
            None => (FailureKind::Canceled, "Build canceled".to_owned(), None),
            Some(Err(error)) if error.id == ErrorId::InternalServerError => {
                (FailureKind::Source, "The source could not be read".to_owned(), Some(error))
            }
            Some(Err(error)) => (FailureKind::Source, error.message, None),
        };
        let _ = log.send(Bytes::from(format!(" !     {told}\n\n !     Push failed\n"))).await;
        let source = source.map(|error| Box::new(error) as _);
        Err(BuildFailure { kind, source, record: Box::new(about) })
    };
    let (built, ()) = tokio::join!(work, copy);
    built
}

/// What is to be done.
enum Prepared {
    Request(Box<BuildRequest>),
    /// Nothing: a build before this one made it.
    Again(Box<Slug>),
}

/// Fetches the buildpacks, and the source unless a build of the same is there.
async fn prepare(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    job: &Job,
    about: &mut BuildRecord,
    log: &BuildLog,
) -> Result<(Prepared, Resolved)> {
    let config = deploy.kernel.store.config_vars(build.app_id).await?;
    let begun = Instant::now();
    let resolved = resolve::resolve(deploy, build, &config).await;
    about.took(ToldBy::Server, "fetch the buildpacks", begun.elapsed());
    let resolved = resolved?;
    if let Some(before) = made_before(deploy, build, &config, &resolved).await {
        let _ = log.send(Bytes::from(resolved.told() + &again::told(build, &before))).await;
        record::add_config(deploy, about, build, &config).await;
        record::add_again(about, &before);
        return Ok((Prepared::Again(Box::new(before.slug)), resolved));
    }
    let begun = Instant::now();
    let request = request_of(deploy, app, build, job, &resolved, log).await;
    about.took(ToldBy::Server, "fetch the source", begun.elapsed());
    Ok((Prepared::Request(Box::new(request?)), resolved))
}

/// What a build of the same made before. That it cannot be looked for costs a build and nothing else.
async fn made_before(
    deploy: &Deploy,
    build: &Build,
    config: &ConfigVars,
    resolved: &Resolved,
) -> Option<again::Before> {
    again::find(deploy, build, config, resolved).await.unwrap_or_else(|error| {
        tracing::warn!(build.id = %build.id, error = chain(&error), "could not look for what was built before");
        None
    })
}

/// Runs the build, by buildpacks or by Dockerfiles.
async fn run_build(
    deploy: &Deploy,
    build: &Build,
    using: &Using<'_>,
    (request, mut about): (BuildRequest, BuildRecord),
    log: BuildLog,
    cancel: CancellationToken,
) -> std::result::Result<Made, BuildFailure> {
    // Of an image's config vars the build looks at one alone.
    let mut config = request.config_vars.clone();
    config.retain(|name, _| !build.stack.is_container() || name == PROJECT_PATH);
    record::add_config(deploy, &mut about, build, &config).await;
    if !build.stack.is_container() {
        let built = deploy.builder.build(request, log, cancel).await;
        return record::whole(built, about, |outcome| &mut outcome.record)
            .map(|outcome| Made::Slug(Box::new((outcome, config))));
    }
    let bases = image_ports::Bases { deploy, account: build.account_id, app: build.app_id, using };
    let steps = image_ports::Steps { deploy, app: build.app_id, using };
    let ports = ImagePorts { bases: &bases, steps: &steps };
    let built = deploy.builder.build_images(request, ports, log, cancel).await;
    record::whole(built, about, |outcome| &mut outcome.record).map(Made::Images)
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

/// Ends a build badly, with what is known of it; `None` for one that was not begun, or that nobody can say more of.
async fn fail(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    lease: &JobLease,
    why: &str,
    record: Option<BuildRecord>,
) -> Result<()> {
    let record = record.unwrap_or_else(|| record::begun(deploy, build));
    let mut tx = deploy.kernel.observe_app(app.id, "end a build badly").await?;
    tx.fail_build(build.id, why).await?;
    tx.keep_build_record(app.id, build.id, &record).await?;
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
