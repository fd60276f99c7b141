//! Releases: how every change of slug or config becomes one, and going back to an earlier one.

use paddock_core::config::ConfigVars;
use paddock_core::dyno::DynoSize;
use paddock_core::release::{ReleaseStatus, rollback_description};
use paddock_core::{AccountId, AppId, AppName, JobId, ProcessType, ReleaseId, SlugId, UnixMicros};
use paddock_store::{App, NewJob, NewRelease, Order, ProcessDefinition, Release as Row, Slug, Tx, VersionRange};
use uuid::Uuid;

use crate::access::{Emails, failed};
use crate::secret::Stream;
use crate::{Actor, Control, Error, Result};

/// Kind of the job that runs a release phase; its subject is the release.
pub(crate) const RELEASE_PHASE_JOB: &str = "release_phase";
/// Its first phase.
pub(crate) const RELEASE_PHASE_WAITING: &str = "waiting";

/// A release as those see it who may see the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Of which app.
    pub app_id: AppId,
    /// The app's name.
    pub app_name: AppName,
    /// Its number, from 1.
    pub version: i64,
    /// What it changed.
    pub description: String,
    /// Who made it.
    pub user_id: AccountId,
    /// The address of who made it.
    pub user_email: String,
    /// What it runs.
    pub slug_id: Option<SlugId>,
    /// How far it came.
    pub status: ReleaseStatus,
    /// Whether it is the one whose dynos should run.
    pub current: bool,
    /// Whether it can be rolled back to.
    pub eligible_for_rollback: bool,
    /// What opens the output of its release phase, if it has one.
    pub output_secret: Option<String>,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it was changed.
    pub updated_at: UnixMicros,
}

/// A wanted release: exactly one of the first two.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseOrder {
    /// The release to go back to: id, `12` or `v12`.
    pub rollback_to: Option<String>,
    /// The slug to release again.
    pub slug: Option<String>,
    /// What to call it; not for rollbacks.
    pub description: Option<String>,
}

/// What a new release consists of.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseContent {
    pub(crate) account_id: AccountId,
    pub(crate) description: String,
    pub(crate) slug_id: Option<SlugId>,
    pub(crate) config: ConfigVars,
    pub(crate) rollback_of: Option<i64>,
}

impl ReleaseContent {
    /// The first releases of an app run nothing and hold nothing.
    pub(crate) fn empty(account_id: AccountId, description: &str) -> Self {
        let config = ConfigVars::new();
        Self { account_id, description: description.to_owned(), slug_id: None, config, rollback_of: None }
    }
}

impl Control {
    /// The releases of an app, oldest first.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn list_releases(&self, actor: &Actor, app: &str) -> Result<Vec<Release>> {
        let app = self.visible_app(actor, app).await?;
        let all = VersionRange { from: None, to: None, order: Order::Ascending, max: u32::MAX };
        let rows = self.store.releases(app.id, all).await.map_err(failed("list releases"))?;
        let mut emails = Emails::new(self);
        let mut releases = Vec::with_capacity(rows.len());
        for row in rows {
            releases.push(self.release_view(&app, row, &mut emails).await?);
        }
        Ok(releases)
    }

    /// One release, by id, `12` or `v12`.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn release(&self, actor: &Actor, app: &str, release: &str) -> Result<Release> {
        let app = self.visible_app(actor, app).await?;
        let row = self.release_row(&app, release).await?;
        self.release_view(&app, row, &mut Emails::new(self)).await
    }

    /// Rolls back to a release (its slug *and* its config vars), or releases a slug again with the config vars of now.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` when neither or both are named, or the release cannot be gone back to.
    pub async fn create_release(&self, actor: &Actor, app: &str, order: ReleaseOrder) -> Result<Release> {
        let app = self.visible_app(actor, app).await?;
        let doing = failed("make a release");
        let mut tx = self.store.begin_for_app(app.id, self.now()).await.map_err(doing)?;
        let content = match (order.rollback_to, order.slug) {
            (Some(target), None) => self.rollback_content(&mut tx, actor, &app, &target).await?,
            (None, Some(slug)) => self.slug_content(&mut tx, actor, &app, &slug, order.description).await?,
            _ => return Err(Error::invalid("Name either a \"release\" to roll back to or a \"slug\" to release.")),
        };
        if content.rollback_of.is_some() {
            tx.set_config(app.id, &content.config).await.map_err(doing)?;
        }
        let (what, rollback_of) = (content.description.clone(), content.rollback_of);
        let row = self.make_release(&mut tx, &app, content).await?;
        let payload = serde_json::json!({
            "release": row.version, "rollback_of": rollback_of, "account": actor.account_id.to_string(),
        });
        tx.event(Some(app.id), "release.create", &payload.to_string()).await.map_err(doing)?;
        tx.commit().await.map_err(doing)?;
        self.wake_after_release();
        self.log_api(app.id, format!("{what} by user {}", actor.email)).await;
        self.log_api(app.id, announce(&row, &actor.email)).await;
        let app = self.visible_app(actor, &app.id.to_string()).await?;
        let row = self.release_row(&app, &row.version.to_string()).await?;
        self.release_view(&app, row, &mut Emails::new(self)).await
    }

    async fn rollback_content(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        app: &App,
        target: &str,
    ) -> Result<ReleaseContent> {
        let doing = failed("roll back");
        let target = find(tx, app, target).await?;
        if !eligible_for_rollback(&target) {
            let text = format!("Cannot roll back to v{}: it has no slug, failed, or has expired.", target.version);
            return Err(Error::invalid(text));
        }
        Ok(ReleaseContent {
            account_id: actor.account_id,
            description: rollback_description(target.version),
            slug_id: target.slug_id,
            config: tx.config_vars_of_release(app.id, target.id).await.map_err(doing)?,
            rollback_of: Some(target.version),
        })
    }

    async fn slug_content(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        app: &App,
        slug: &str,
        description: Option<String>,
    ) -> Result<ReleaseContent> {
        let doing = failed("release a slug");
        let missing = || Error::not_found("slug");
        let id: SlugId = slug.parse().map_err(|_| missing())?;
        let slug = tx.slug(id).await.map_err(doing)?;
        let slug = slug.filter(|slug| slug.app_id == Some(app.id)).ok_or_else(missing)?;
        let commit = slug.commit_id.as_deref().unwrap_or("slug");
        let described = description.filter(|text| !text.trim().is_empty());
        Ok(ReleaseContent {
            account_id: actor.account_id,
            description: described.unwrap_or_else(|| paddock_core::release::deploy_description(commit)),
            slug_id: Some(id),
            config: tx.config_vars(app.id).await.map_err(doing)?,
            rollback_of: None,
        })
    }

    /// Makes a release within a transaction of the app. With a release phase it is pending and a job runs that first;
    /// without one it is current at once.
    pub(crate) async fn make_release(&self, tx: &mut Tx, app: &App, content: ReleaseContent) -> Result<Row> {
        let doing = failed("make a release");
        let slug = match content.slug_id {
            None => None,
            Some(id) => Some(tx.slug(id).await.map_err(doing)?.ok_or_else(|| Error::not_found("slug"))?),
        };
        let command = slug.as_ref().and_then(|slug| slug.process_types.get(&ProcessType::release())).cloned();
        let status = if command.is_some() { ReleaseStatus::Pending } else { ReleaseStatus::Succeeded };
        let id = ReleaseId::from_uuid(Uuid::now_v7());
        let new = NewRelease {
            id,
            app_id: app.id,
            description: content.description,
            account_id: content.account_id,
            slug_id: content.slug_id,
            status,
            rollback_of: content.rollback_of,
            output: command.as_ref().map(|_| id.to_string()),
            release_command: command,
            config: content.config,
        };
        let row = tx.create_release(&new).await.map_err(doing)?;
        if status == ReleaseStatus::Pending {
            let job = NewJob {
                id: JobId::from_uuid(Uuid::now_v7()),
                kind: RELEASE_PHASE_JOB.to_owned(),
                app_id: Some(app.id),
                subject_id: id.to_string(),
                phase: RELEASE_PHASE_WAITING.to_owned(),
                payload: "{}".to_owned(),
            };
            tx.enqueue_job(&job).await.map_err(doing)?;
        } else {
            self.make_current(tx, app, id, slug.as_ref()).await?;
        }
        Ok(row)
    }

    /// Makes a succeeded release the current one; the formation follows its process types.
    pub(crate) async fn make_current(&self, tx: &mut Tx, app: &App, id: ReleaseId, slug: Option<&Slug>) -> Result<()> {
        let doing = failed("make a release current");
        tx.set_current_release(app.id, id).await.map_err(doing)?;
        let Some(slug) = slug else { return Ok(()) };
        let is_first = tx.formation(app.id).await.map_err(doing)?.is_empty();
        let definitions: Vec<_> = slug
            .process_types
            .iter()
            .map(|(process_type, command)| ProcessDefinition {
                process_type: process_type.clone(),
                command: command.clone(),
                // The first deploy starts one web dyno; types that come later wait to be scaled.
                quantity_if_new: u32::from(is_first && process_type.is_web()),
                size_if_new: DynoSize::DEFAULT,
            })
            .collect();
        tx.replace_process_types(app.id, &definitions).await.map_err(doing)
    }

    /// The slug that runs now, as the transaction sees it.
    pub(crate) async fn current_slug(&self, tx: &mut Tx, app: &App) -> Result<Option<SlugId>> {
        let release = tx.current_release(app.id).await.map_err(failed("read the current release"))?;
        Ok(release.and_then(|release| release.slug_id))
    }

    /// Everybody who acts on a new release looks.
    pub(crate) fn wake_after_release(&self) {
        self.wakes.jobs.wake();
        self.wakes.dynos.wake();
        self.wakes.routes.wake();
        self.wakes.changes.wake();
    }

    /// The row of a release, by id, `12` or `v12`.
    pub(crate) async fn release_row(&self, app: &App, identity: &str) -> Result<Row> {
        let doing = failed("look up a release");
        let found = match named(identity).ok_or_else(|| Error::not_found("release"))? {
            Named::Id(id) => self.store.release(app.id, id).await.map_err(doing)?,
            Named::Version(version) => self.store.release_by_version(app.id, version).await.map_err(doing)?,
        };
        found.ok_or_else(|| Error::not_found("release"))
    }

    async fn release_view(&self, app: &App, row: Row, emails: &mut Emails<'_>) -> Result<Release> {
        let output_secret = match row.release_command {
            None => None,
            Some(_) => Some(self.stream_secret(Stream::Release, row.id.uuid()).await?),
        };
        Ok(Release {
            id: row.id,
            app_id: row.app_id,
            app_name: app.name.clone(),
            user_id: row.account_id,
            user_email: emails.of(row.account_id).await?,
            slug_id: row.slug_id,
            current: app.current_release_id == Some(row.id),
            eligible_for_rollback: eligible_for_rollback(&row),
            status: row.status,
            output_secret,
            version: row.version,
            description: row.description,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

enum Named {
    Id(ReleaseId),
    Version(i64),
}

fn named(identity: &str) -> Option<Named> {
    if let Ok(id) = identity.parse() {
        return Some(Named::Id(id));
    }
    let digits = identity.strip_prefix(['v', 'V']).unwrap_or(identity);
    digits.parse().ok().filter(|version| *version > 0).map(Named::Version)
}

async fn find(tx: &mut Tx, app: &App, identity: &str) -> Result<Row> {
    let doing = failed("look up a release");
    let found = match named(identity).ok_or_else(|| Error::not_found("release"))? {
        Named::Id(id) => tx.release(app.id, id).await.map_err(doing)?,
        Named::Version(version) => tx.release_by_version(app.id, version).await.map_err(doing)?,
    };
    found.ok_or_else(|| Error::not_found("release"))
}

/// The current one can be rolled back to as well: clients pick the second that can.
fn eligible_for_rollback(row: &Row) -> bool {
    row.status == ReleaseStatus::Succeeded && row.slug_id.is_some()
}

/// `Release v12 created by user a@b.c`.
pub(crate) fn announce(row: &Row, email: &str) -> String {
    format!("Release v{} created by user {email}", row.version)
}
