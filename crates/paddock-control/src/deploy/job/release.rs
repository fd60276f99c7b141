//! What a build came to: slug, release and the job's next phase, together.

use std::collections::BTreeMap;

use paddock_build::BuildOutcome;
use paddock_build::image::{BuiltImage, BuiltProcess, ImageOutcome};
use paddock_core::SlugId;
use paddock_core::build_record::BuildRecord;
use paddock_core::buildpack::{BuildpackRef, BuiltinBuildpack};
use paddock_core::buildpack_meaning::Ran;
use paddock_core::config::{ConfigVars, OwnedConfig};
use paddock_core::event::{By, Event};
use paddock_core::image::{Image, ProcessImage};
use paddock_core::release::deploy_description;
use paddock_core::stack::Stack;
use paddock_store::{App, Build, BuildpackPin, JobLease, NewSlug, ProcessImages, Release, SourceKind, Tx};
use uuid::Uuid;

use crate::Result;
use crate::deploy::Deploy;
use crate::deploy::build_queue::BuildPhase;
use crate::deploy::buildpack::resolve::{self, Resolved};
use crate::deploy::image_release::shown_commands;
use crate::deploy::job::{Made, again};
use crate::deploy::release_steps::{ReleaseDraft, add_release};
use crate::kernel::job::Phase;

/// The slug, the release and the job's next phase, together.
pub(super) async fn record_outcome(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    lease: &JobLease,
    mut made: Made,
    resolved: &Resolved,
) -> Result<(Release, Vec<String>)> {
    let mut made_of = None;
    let record = made.take_record();
    let mut ran = resolved.ran(&BTreeMap::new()).unwrap_or_default();
    let (slug_id, slug, wanted) = match made {
        Made::Slug(made) => {
            let (outcome, config) = *made;
            let known = what_ran(&outcome, resolved);
            let (slug, wanted) = slug_of(deploy, app, build, outcome).await;
            made_of = key_of_made(deploy, build, &config, known.as_deref()).await;
            ran = known.unwrap_or_default();
            (slug.id, Some(slug), wanted)
        }
        Made::Images(outcome) => {
            let slug = slug_of_images(deploy, app, build, outcome).await;
            (slug.id, Some(slug), Wanted::default())
        }
        Made::Again(again) => (again.0.id, None, Wanted::default()),
    };
    // Before there is a release: whoever asks for them again after a kill finds those that are there.
    let mut notices = Vec::new();
    if !wanted.addons.is_empty() && deploy.kernel.store.formation(app.id).await?.is_empty() {
        notices = deploy.addons.order_for_first_release(app, build.account_id, &wanted.addons).await;
    }
    let mut tx = deploy.kernel.change_app(app.id, "release what a build made").await?;
    if let Some(slug) = &slug {
        tx.create_slug(slug).await?;
    }
    if tx.formation(app.id).await?.is_empty() {
        let set = tx.owned_config(app.id).await?;
        let first = first_release(&set, &wanted.config_vars);
        tx.set_config(app.id, &first.user).await?;
        notices.extend(first.notices);
    }
    let release = add_release(&mut tx, app.id, draft_of(build, slug_id)).await?;
    if let Some(detected) = &wanted.detected
        && tx.buildpacks(app.id).await?.is_empty()
    {
        // What was detected once stays: later pushes do not depend on what detection would say then.
        tx.replace_buildpacks(app.id, &[detected.as_str().to_owned()]).await?;
    }
    tx.set_build_slug(build.id, slug_id).await?;
    tx.set_build_ran(build.id, &resolve::texts(&ran)).await?;
    let pins: Vec<_> =
        ran.into_iter().map(|(name, ran)| resolved.pin(&name, ran, deploy.kernel.now())).collect();
    note_build(&mut tx, build, &release, (made_of.as_deref(), &record, &pins)).await?;
    tx.set_job_phase(lease, BuildPhase::Releasing.as_str()).await?;
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
    Ok((release, notices))
}

fn draft_of(build: &Build, slug_id: SlugId) -> ReleaseDraft {
    let description = version_of(build).map(|version| deploy_description(&version));
    ReleaseDraft {
        description: description.unwrap_or_else(|| "Deploy".to_owned()),
        account_id: build.account_id,
        slug_id: Some(slug_id),
        rollback_of: None,
    }
}

/// Notes with a build what it came to, and of what it was made.
async fn note_build(
    tx: &mut Tx,
    build: &Build,
    release: &Release,
    (made_of, record, pins): (Option<&str>, &BuildRecord, &[BuildpackPin]),
) -> Result<()> {
    for pin in pins {
        tx.pin_buildpack(build.app_id, pin).await?;
    }
    if let Some(made_of) = made_of {
        tx.set_build_made_of(build.id, made_of).await?;
    }
    tx.set_build_release(build.id, release.id).await?;
    tx.keep_build_record(build.app_id, build.id, record).await?;
    Ok(())
}

/// By what a later build finds what this one made. None does where that cannot be said.
async fn key_of_made(
    deploy: &Deploy,
    build: &Build,
    config: &ConfigVars,
    ran: Option<&[(String, Ran)]>,
) -> Option<String> {
    again::key_of(deploy, build, config, &resolve::texts(ran?)).await.unwrap_or_default()
}

/// What ran for each buildpack, also where detection chose it; `None` where that is not known of all. Of an app with nothing but
/// a Procfile nothing ran, and detection chooses anew each time.
fn what_ran(outcome: &BuildOutcome, resolved: &Resolved) -> Option<Vec<(String, Ran)>> {
    match &outcome.detected {
        Some(detected) => Some(vec![(detected.as_str().to_owned(), Ran::Builtin)]),
        None if resolved.references.is_empty() => {
            (outcome.buildpacks == [BuiltinBuildpack::Procfile.name()]).then(Vec::new)
        }
        None => resolved.ran(&outcome.commits),
    }
}

/// What buildpacks ask for besides the slug.
#[derive(Default)]
struct Wanted {
    /// The buildpack that detection chose.
    detected: Option<BuildpackRef>,
    addons: Vec<String>,
    config_vars: ConfigVars,
}

async fn slug_of(deploy: &Deploy, app: &App, build: &Build, outcome: BuildOutcome) -> (NewSlug, Wanted) {
    let slug = NewSlug {
        checksum: Some(format!("SHA256:{}", outcome.layer.hex())),
        layer: outcome.layer.to_string(),
        process_types: outcome.process_types,
        buildpack_description: Some(outcome.description),
        stack_version: deploy.kernel.version_of_build(build).version,
        ..empty_slug(deploy, app, build, outcome.size_bytes).await
    };
    let BuildOutcome { detected, addons, config_vars, .. } = outcome;
    (slug, Wanted { detected, addons, config_vars })
}

async fn slug_of_images(deploy: &Deploy, app: &App, build: &Build, outcome: ImageOutcome) -> NewSlug {
    let processes = outcome.processes.into_iter().map(|(name, BuiltProcess { image, command })| {
        let BuiltImage { id, layers, base, config } = image;
        (name, ProcessImage { image: Image { id, layers, base, config }, command })
    });
    let images = ProcessImages(processes.collect());
    NewSlug {
        process_types: shown_commands(&images),
        buildpack_description: Some(Stack::CONTAINER.as_str().to_owned()),
        images,
        ..empty_slug(deploy, app, build, outcome.size_bytes).await
    }
}

/// What slugs of either kind have.
async fn empty_slug(deploy: &Deploy, app: &App, build: &Build, size_bytes: u64) -> NewSlug {
    let subject = match build.source_kind {
        SourceKind::Git => deploy.repositories.commit_subject(app.id, &build.source).await.ok(),
        SourceKind::Archive => build.source_description.clone(),
    };
    NewSlug {
        id: SlugId::from_uuid(Uuid::now_v7()),
        app_id: app.id,
        checksum: None,
        layer: String::new(),
        put_secret_sha256: None,
        size_bytes: i64::try_from(size_bytes).unwrap_or(i64::MAX),
        commit_id: version_of(build),
        commit_description: subject,
        process_types: BTreeMap::new(),
        buildpack_description: None,
        stack: build.stack.clone(),
        stack_version: String::new(),
        images: ProcessImages::default(),
    }
}

/// What an app's first release begins with, and what its pusher is told of that.
struct FirstRelease {
    /// The user's config vars.
    user: ConfigVars,
    notices: Vec<String>,
}

/// What the last buildpack's `bin/release` asks for counts once, and never against what the user has set.
/// Source: `docs/contract/buildpacks.md`, section 5.4.
fn first_release(set: &OwnedConfig, wanted: &ConfigVars) -> FirstRelease {
    let (user, refused) = set.with_defaults(wanted);
    let new: Vec<_> = user.keys().filter(|key| !set.user.contains_key(*key)).map(String::as_str).collect();
    let mut notices = Vec::new();
    if !new.is_empty() {
        notices.push(format!("       Config vars set by the buildpack: {}", new.join(", ")));
    }
    notices.extend(
        refused.iter().map(|reason| format!(" !     Not set, as the buildpack asks for it: {reason}")),
    );
    FirstRelease { user, notices }
}

fn version_of(build: &Build) -> Option<String> {
    match build.source_kind {
        SourceKind::Git => Some(build.source.clone()),
        SourceKind::Archive => build.source_version.clone(),
    }
}
