//! What a build came to: slug, release and the job's next phase, together.

use paddock_build::BuildOutcome;
use paddock_core::SlugId;
use paddock_core::config::{ConfigVars, OwnedConfig};
use paddock_core::event::{By, Event};
use paddock_core::release::deploy_description;
use paddock_store::{App, Build, JobLease, NewSlug, Release, SourceKind};
use uuid::Uuid;

use crate::Result;
use crate::deploy::Deploy;
use crate::deploy::build_queue::BuildPhase;
use crate::deploy::release_steps::{ReleaseDraft, add_release};
use crate::kernel::job::Phase;

/// The slug, the release and the job's next phase, together.
pub(super) async fn record_outcome(
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
    // Before there is a release: whoever asks for them again after a kill finds those that are there.
    let mut notices = Vec::new();
    if !outcome.addons.is_empty() && deploy.kernel.store.formation(app.id).await?.is_empty() {
        notices = deploy.addons.order_for_first_release(app, build.account_id, &outcome.addons).await;
    }
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
        stack: build.stack.clone(),
        stack_version: deploy.kernel.version_of_build(build).version,
        images: Default::default(),
    };
    let mut tx = deploy.kernel.change_app(app.id, "release what a build made").await?;
    tx.create_slug(&slug).await?;
    if tx.formation(app.id).await?.is_empty() {
        let set = tx.owned_config(app.id).await?;
        let first = first_release(&set, &outcome.config_vars);
        tx.set_config(app.id, &first.user).await?;
        notices.extend(first.notices);
    }
    let draft = ReleaseDraft {
        description: version_of(build)
            .map_or_else(|| "Deploy".to_owned(), |version| deploy_description(&version)),
        account_id: build.account_id,
        slug_id: Some(slug.id),
        rollback_of: None,
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
