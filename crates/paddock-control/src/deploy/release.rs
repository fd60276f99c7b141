//! Releases: how every change of slug or config becomes one, and going back to an earlier one.

use paddock_core::event::Event;
use paddock_core::release::{ReleaseStatus, rollback_description};
use paddock_core::{AccountId, AppId, AppName, AppRef, ReleaseId, SlugId, UnixMicros};
use paddock_store::{App, Order, Release as Row, Tx, VersionRange};

use crate::deploy::Deploy;
use crate::deploy::release_steps::{ReleaseDraft, add_release};
use crate::deploy::stream_secret::Stream;
use crate::kernel::emails::Emails;
use crate::{Actor, Error, Result};

/// A release, as shown to those who may see its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub id: ReleaseId,
    pub app_id: AppId,
    pub app_name: AppName,
    /// Its number, from 1.
    pub version: i64,
    pub description: String,
    pub user_id: AccountId,
    /// The e-mail address of the account that made it.
    pub user_email: String,
    pub slug_id: Option<SlugId>,
    pub status: ReleaseStatus,
    /// Whether it is the one whose dynos should run.
    pub current: bool,
    /// Whether it can be rolled back to.
    pub eligible_for_rollback: bool,
    /// What opens the output of its release phase, if it has one.
    pub output_secret: Option<String>,
    pub created_at: UnixMicros,
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

impl Deploy {
    /// The releases of an app, oldest first.
    pub async fn list_releases(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Release>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let all = VersionRange { from: None, to: None, order: Order::Ascending, max: u32::MAX };
        let rows = self.kernel.store.releases(app.id, all).await?;
        let app = self.app_after(app.id).await?;
        let mut emails = Emails::new(&self.kernel);
        let mut releases = Vec::with_capacity(rows.len());
        for row in rows {
            releases.push(self.release_view(&app, row, &mut emails).await?);
        }
        Ok(releases)
    }

    /// One release, by id, `12` or `v12`.
    pub async fn release(&self, actor: &Actor, app: &AppRef, release: &str) -> Result<Release> {
        let app = self.kernel.visible_app(actor, app).await?;
        let row = self.release_row(&app, release).await?;
        let app = self.app_after(app.id).await?;
        self.release_view(&app, row, &mut Emails::new(&self.kernel)).await
    }

    /// The app as it is after its releases were read: what has succeeded by then is not shown as not current.
    async fn app_after(&self, app: AppId) -> Result<App> {
        let again = self.kernel.store.app(app).await?;
        again.ok_or_else(|| Error::not_found("app"))
    }

    /// Rolls back to a release (its slug *and* the user's config vars of then; what attachments say stays as it is), or
    /// releases a slug again with the config vars of now.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` when neither or both are named, or the release cannot be gone back to.
    pub async fn create_release(&self, actor: &Actor, app: &AppRef, order: ReleaseOrder) -> Result<Release> {
        let app = self.kernel.visible_app(actor, app).await?;
        let mut tx = self.kernel.change_app(app.id, "make a release").await?;
        let draft = match (order.rollback_to, order.slug) {
            (Some(target), None) => self.rollback_draft(&mut tx, actor, &app, &target).await?,
            (None, Some(slug)) => self.slug_draft(&mut tx, actor, &app, &slug, order.description).await?,
            _ => {
                return Err(Error::invalid(
                    "Name either a \"release\" to roll back to or a \"slug\" to release.",
                ));
            }
        };
        let what = draft.description.clone();
        let row = add_release(&mut tx, app.id, draft).await?;
        tx.say(app.id, format!("{what} by user {}", actor.email));
        tx.say(app.id, announce(&row, &actor.email));
        tx.commit(
            "release.made",
            Event::ReleaseCreated { app: app.id, version: row.version, description: what.clone() },
            actor,
        )
        .await?;
        let app = self.app_after(app.id).await?;
        self.release_view(&app, row, &mut Emails::new(&self.kernel)).await
    }

    async fn rollback_draft(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        app: &App,
        target: &str,
    ) -> Result<ReleaseDraft> {
        let target = find(tx, app, target).await?;
        if !eligible_for_rollback(&target) {
            let text =
                format!("Cannot roll back to v{}: it has no slug, failed, or has expired.", target.version);
            return Err(Error::invalid(text));
        }
        let then = tx.owned_config_of_release(app.id, target.id).await?.user;
        let config = tx.owned_config(app.id).await?.with_user_of_then(then);
        tx.set_config(app.id, &config.user).await?;
        Ok(ReleaseDraft {
            account_id: actor.account_id,
            description: rollback_description(target.version),
            slug_id: target.slug_id,
            rollback_of: Some(target.version),
        })
    }

    async fn slug_draft(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        app: &App,
        slug: &str,
        description: Option<String>,
    ) -> Result<ReleaseDraft> {
        let missing = || Error::not_found("slug");
        let id: SlugId = slug.parse().map_err(|_| missing())?;
        let slug = tx.slug(id).await?;
        let slug = slug.filter(|slug| slug.app_id == Some(app.id)).ok_or_else(missing)?;
        if !slug.runs_something() {
            let text = match slug.stack.is_container() {
                true => "All process types of that release were removed: there is nothing to run.",
                false => "The slug has not been uploaded: put its archive to its blob's url first.",
            };
            return Err(Error::invalid(text));
        }
        let commit = slug.commit_id.as_deref().unwrap_or("slug");
        let described = description.filter(|text| !text.trim().is_empty());
        Ok(ReleaseDraft {
            account_id: actor.account_id,
            description: described.unwrap_or_else(|| paddock_core::release::deploy_description(commit)),
            slug_id: Some(id),
            rollback_of: None,
        })
    }

    /// The row of a release, by id, `12` or `v12`.
    pub(crate) async fn release_row(&self, app: &App, identity: &str) -> Result<Row> {
        let found = match named(identity).ok_or_else(|| Error::not_found("release"))? {
            Named::Id(id) => self.kernel.store.release(app.id, id).await?,
            Named::Version(version) => self.kernel.store.release_by_version(app.id, version).await?,
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
            current: row.status == ReleaseStatus::Succeeded && app.current_release_id == Some(row.id),
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
    let found = match named(identity).ok_or_else(|| Error::not_found("release"))? {
        Named::Id(id) => tx.release(app.id, id).await?,
        Named::Version(version) => tx.release_by_version(app.id, version).await?,
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
