//! What every new release goes through, whoever makes it: build, config change, rollback.
//!
//! ```text
//! add_release ──no release command──▶ succeeded, current ──▶ dynos are replaced
//!      └──release command──▶ pending ──release dyno exits 0──▶ succeeded, current
//!                                └──other exit──▶ failed; the old release goes on serving
//!
//! release_attached ──▶ succeeded, current; goes on with what runs, whatever waits
//! ```
//! What attachments say (the address of a database) changes in a release as well, but nobody's code does. So that release
//! runs no release command, keeps the formation, and goes on with the slug and the user's config vars of the *current*
//! release ([`Release::laid_on`]), not with those of one that waits for its release phase. One that waits gets the new
//! address in its snapshot in the same transaction ([`Tx::set_attached`]), and a change of config vars is laid on it all
//! the same. When it succeeds it is older than what attachments made meanwhile, and what runs never goes back to a smaller
//! version: so it goes on as a further release, with the newest address. That is not done when what runs was laid on
//! something newer than itself.

use paddock_core::config::{ConfigVars, OwnedConfig};
use paddock_core::dyno::{DynoKind, DynoName, DynoSize};
use paddock_core::event::{By, Event};
use paddock_core::release::ReleaseStatus;
use paddock_core::{AccountId, AppId, ContainerId, ProcessType, ReleaseId, SlugId};
use paddock_store::{App, Dyno, NewRelease, ProcessDefinition, Release, Tx};
use uuid::Uuid;

use crate::Result;
use crate::deploy::Deploy;
use crate::kernel::error::chain;
use crate::kernel::new_dyno::new_dyno;

/// The longest life of a release dyno. Source: `docs/contract/platform-behaviour.md`, section 5.
const RELEASE_PHASE_SECONDS: i64 = 60 * 60;

/// A release to make. Its snapshot of config vars is what they are when it is added.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseDraft {
    pub(crate) description: String,
    pub(crate) account_id: AccountId,
    pub(crate) slug_id: Option<SlugId>,
    pub(crate) rollback_of: Option<i64>,
}

/// Adds a release in the caller's transaction. Without a release command it is current at once; with one it waits,
/// pending, for the release phase.
pub(crate) async fn add_release(tx: &mut Tx, app: AppId, draft: ReleaseDraft) -> Result<Release> {
    let slug = match draft.slug_id {
        Some(id) => tx.slug(id).await?,
        None => None,
    };
    let release_command = slug.and_then(|slug| slug.process_types.get(&ProcessType::release()).cloned());
    let status = if release_command.is_some() { ReleaseStatus::Pending } else { ReleaseStatus::Succeeded };
    let new = NewRelease {
        id: ReleaseId::from_uuid(Uuid::now_v7()),
        app_id: app,
        description: draft.description,
        account_id: draft.account_id,
        slug_id: draft.slug_id,
        status,
        rollback_of: draft.rollback_of,
        laid_on: None,
        release_command,
        output: None,
        config: tx.owned_config(app).await?,
    };
    let release = tx.create_release(&new).await?;
    if status == ReleaseStatus::Succeeded {
        make_current(tx, &release).await?;
    }
    Ok(release)
}

/// Replaces what the attachments of an app say, all of it, and makes the release of it, current at once. In the
/// transaction of whoever changes the attachments, which may be about another app or several; those come in the order
/// of their ids then.
pub(crate) async fn release_attached(
    tx: &mut Tx,
    app: AppId,
    attached: ConfigVars,
    description: String,
    account_id: AccountId,
) -> Result<Release> {
    tx.also_for_app(app).await?;
    tx.set_attached(app, &attached).await?;
    let Some(current) = tx.current_release(app).await? else {
        let draft = ReleaseDraft { description, account_id, slug_id: None, rollback_of: None };
        return add_release(tx, app, draft).await;
    };
    let release = go_on_with(tx, &current, description, account_id).await?;
    tx.set_current_release(app, release.id).await?;
    Ok(release)
}

/// Makes a release of what another came with: its slug and the user's config vars, with what attachments say by now.
async fn go_on_with(
    tx: &mut Tx,
    base: &Release,
    description: String,
    account_id: AccountId,
) -> Result<Release> {
    let new = NewRelease {
        id: ReleaseId::from_uuid(Uuid::now_v7()),
        app_id: base.app_id,
        description,
        account_id,
        slug_id: base.slug_id,
        status: ReleaseStatus::Succeeded,
        rollback_of: None,
        laid_on: Some(base.base_version()),
        release_command: None,
        output: None,
        config: OwnedConfig {
            user: tx.owned_config_of_release(base.app_id, base.id).await?.user,
            attached: tx.owned_config(base.app_id).await?.attached,
        },
    };
    Ok(tx.create_release(&new).await?)
}

/// Replaces what the attachments of an app say, because it has an add-on that it had not before. That runs the release
/// phase, as a change of config vars does. Source: `docs/contract/platform-behaviour.md`, section 5.
pub(crate) async fn release_new_addon(
    tx: &mut Tx,
    app: AppId,
    attached: ConfigVars,
    description: String,
    account_id: AccountId,
) -> Result<Release> {
    tx.also_for_app(app).await?;
    tx.set_attached(app, &attached).await?;
    let slug_id = base_slug(tx, app).await?;
    add_release(tx, app, ReleaseDraft { description, account_id, slug_id, rollback_of: None }).await
}

/// What a change of config vars is laid upon: the newest release that has not failed. One that waits for its release
/// phase counts, and the change then waits behind it; one that attachments made counts for what it is laid on.
pub(crate) async fn base_slug(tx: &mut Tx, app: AppId) -> Result<Option<SlugId>> {
    let newest = tx.newest_base_release(app).await?;
    match newest.filter(|release| release.status == ReleaseStatus::Pending) {
        Some(pending) => Ok(pending.slug_id),
        None => Ok(tx.current_release(app).await?.and_then(|release| release.slug_id)),
    }
}

/// Makes a succeeded release the one whose dynos run; its process types become the formation's.
async fn make_current(tx: &mut Tx, release: &Release) -> Result<()> {
    if let Some(slug_id) = release.slug_id
        && let Some(slug) = tx.slug(slug_id).await?
    {
        let first = tx.formation(release.app_id).await?.is_empty();
        tx.set_stack(release.app_id, &slug.stack).await?;
        let definitions: Vec<_> = slug
            .process_types
            .into_iter()
            .map(|(process_type, command)| ProcessDefinition {
                quantity_if_new: u32::from(first && process_type.is_web()),
                size_if_new: DynoSize::DEFAULT,
                process_type,
                command,
            })
            .collect();
        tx.replace_process_types(release.app_id, &definitions).await?;
    }
    tx.set_current_release(release.app_id, release.id).await?;
    Ok(())
}

/// Makes a release current whose release phase has succeeded, unless a newer one has become so meanwhile (a rollback to a
/// slug without release phase). The release that it goes on as, where only attachments have made newer ones.
async fn take_over(tx: &mut Tx, release: &Release) -> Result<Option<Release>> {
    match tx.current_release(release.app_id).await? {
        Some(current) if current.base_version() > release.version => Ok(None),
        Some(current) if current.version > release.version => {
            let made = go_on_with(tx, release, release.description.clone(), release.account_id).await?;
            make_current(tx, &made).await?;
            Ok(Some(made))
        }
        _ => {
            make_current(tx, release).await?;
            Ok(None)
        }
    }
}

impl Deploy {
    /// Gives each app's oldest pending release its release dyno. The formation reconciler starts and watches it.
    pub(crate) async fn begin_release_phases(
        &self,
        app: &App,
        pending: &[Release],
        dynos: &[Dyno],
    ) -> Result<bool> {
        let Some(release) = pending.iter().min_by_key(|release| release.version) else { return Ok(false) };
        if dynos.iter().any(|dyno| dyno.kind == DynoKind::Release) {
            return Ok(false);
        }
        let command = release.release_command.clone().unwrap_or_default();
        let number = u32::try_from(release.id.uuid().as_u128() % 9000).unwrap_or(0) + 1000;
        let name = DynoName { process_type: ProcessType::release(), index: number };
        let size = self
            .kernel
            .store
            .formation_of(app.id, &ProcessType::release())
            .await?
            .map_or(DynoSize::DEFAULT, |r| r.size);
        let mut tx = self.kernel.observe_app(app.id, "begin a release phase").await?;
        let mut dyno = new_dyno(release, &name, DynoKind::Release, command, size, tx.now());
        // One container for one release, however often this is tried.
        dyno.container_id = Some(ContainerId::from_uuid(release.id.uuid()));
        dyno.time_to_live_seconds = Some(RELEASE_PHASE_SECONDS);
        tx.put_dyno(&dyno).await?;
        tx.commit_quietly("release.phase_begun").await?;
        Ok(true)
    }

    /// The release dyno has ended: the release has succeeded and becomes current, or has failed.
    pub(crate) async fn record_release_exit(
        &self,
        app: &App,
        dyno: &Dyno,
        status: Option<i32>,
    ) -> Result<()> {
        let mut tx = self.kernel.change_app(app.id, "end a release phase").await?;
        let Some(release) = tx.release(app.id, dyno.release_id).await? else { return Ok(()) };
        let ended = if status == Some(0) { ReleaseStatus::Succeeded } else { ReleaseStatus::Failed };
        if release.status.may_become(ended) {
            tx.set_release_status(release.id, ended).await?;
            if ended == ReleaseStatus::Succeeded
                && let Some(made) = take_over(&mut tx, &release).await?
            {
                let (was, is) = (release.version, made.version);
                tx.say(
                    app.id,
                    format!("Release v{was} goes on as v{is}, since attachments have changed meanwhile"),
                );
                let (version, description) = (made.version, made.description);
                let event = Event::ReleaseCreated { app: app.id, version, description };
                tx.event(&event, By::Account(made.account_id)).await?;
            }
            tx.commit_quietly("release.phase_ended").await?;
        } else {
            // The only writer is not held over what follows.
            drop(tx);
        }
        if let Err(error) = self.outputs.abandon(release.id.uuid()).await {
            tracing::warn!(
                error = chain(&error),
                "could not finish the output of release v{}",
                release.version
            );
        }
        if status != Some(0) {
            self.kernel.log_api(app.id, format!("Release v{} command failed", release.version)).await;
        }
        Ok(())
    }
}
