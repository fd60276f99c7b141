//! Releases: numbered from 1 without gaps for each app; a slug with a sealed snapshot of config vars.

use paddock_core::config::OwnedConfig;
use paddock_core::release::ReleaseStatus;
use paddock_core::{AccountId, AppId, ReleaseId, SlugId, UnixMicros};

use crate::config::{Whose, release_place, seal_attached, seal_vars};
use crate::engine::{self, Number, reads, row, statements, values};
use crate::error::{Result, StoreError};
use crate::{AppSpan, Store, Tx};

/// A release as stored; its config vars are read by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub id: ReleaseId,
    pub app_id: AppId,
    /// Its number, from 1.
    pub version: i64,
    /// What it changed, for people.
    pub description: String,
    pub account_id: AccountId,
    /// What it runs; `None` for a release before the first deploy.
    pub slug_id: Option<SlugId>,
    pub status: ReleaseStatus,
    /// The version it goes back to, when it is a rollback.
    pub rollback_of: Option<i64>,
    /// The version whose slug and config vars of the user's it goes on with, when it was made because of what attachments
    /// say.
    pub laid_on: Option<i64>,
    /// The command of its release phase, when it has one.
    pub release_command: Option<String>,
    /// Where the output of its release phase lies, or what grants access to it; the caller's to read.
    pub output: Option<String>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Release { id, app_id, version, description, account_id, status, created_at, updated_at }
    optional { slug_id, rollback_of, laid_on, release_command, output });

impl Release {
    /// The version that what it runs came with.
    #[must_use]
    pub fn base_version(&self) -> i64 {
        self.laid_on.unwrap_or(self.version)
    }
}

struct AppRow {
    app_id: AppId,
}

row!(AppRow { app_id } optional {});

/// What a new release is made of; fields as in [`Release`].
#[derive(Debug, Clone)]
pub struct NewRelease {
    pub id: ReleaseId,
    pub app_id: AppId,
    /// What it changed, for people.
    pub description: String,
    pub account_id: AccountId,
    pub slug_id: Option<SlugId>,
    /// `Pending` when a release phase has to run first.
    pub status: ReleaseStatus,
    /// The version it goes back to.
    pub rollback_of: Option<i64>,
    /// The version that it goes on with.
    pub laid_on: Option<i64>,
    /// The command of its release phase.
    pub release_command: Option<String>,
    /// Where the output of its release phase will lie.
    pub output: Option<String>,
    /// The config vars it is made with; stored sealed.
    pub config: OwnedConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// Which part of an app's releases is asked for.
#[derive(Debug, Clone, Copy)]
pub struct VersionRange {
    /// Smallest version, itself included; `None` from the first.
    pub from: Option<i64>,
    /// Largest version, itself included; `None` to the newest.
    pub to: Option<i64>,
    /// The order of the answer; `max` counts from its beginning.
    pub order: Order,
    /// At most this many.
    pub max: u32,
}

statements! {
    BY_ID = "SELECT * FROM releases WHERE app_id = $1 AND id = $2";
    BY_VERSION = "SELECT * FROM releases WHERE app_id = $1 AND version = $2";
    NEWEST = "SELECT * FROM releases WHERE app_id = $1 ORDER BY version DESC LIMIT 1";
    NEWEST_BASE = "SELECT * FROM releases WHERE app_id = $1 AND laid_on IS NULL ORDER BY version DESC LIMIT 1";
    CURRENT = "SELECT releases.* FROM releases JOIN apps ON apps.current_release_id = releases.id \
        WHERE apps.id = $1 AND releases.app_id = $1";
    CURRENT_WITHIN = "SELECT releases.* FROM releases JOIN apps ON apps.current_release_id = releases.id \
        WHERE apps.server_id = $1 AND apps.id >= $2 AND apps.id <= $3 AND releases.app_id = apps.id";
    // In this order on SQLite, too: those that are pending are few, and an app may have many that are not.
    PENDING_WITHIN = "SELECT releases.* FROM releases CROSS JOIN apps \
        WHERE releases.status = 'pending' AND apps.id = releases.app_id \
        AND apps.server_id = $1 AND apps.id >= $2 AND apps.id <= $3 ORDER BY releases.created_at, releases.id";
    ASCENDING = "SELECT * FROM releases WHERE app_id = $1 AND version >= $2 AND version <= $3 \
        ORDER BY version LIMIT $4";
    DESCENDING = "SELECT * FROM releases WHERE app_id = $1 AND version >= $2 AND version <= $3 \
        ORDER BY version DESC LIMIT $4";
    TAKE_VERSION = "UPDATE apps SET next_version = next_version + 1, updated_at = $2 WHERE id = $1 \
        RETURNING next_version - 1 AS number";
    CREATE = "INSERT INTO releases (id, app_id, version, description, account_id, slug_id, status, rollback_of, \
        laid_on, release_command, output, config, attached, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)";
    SET_STATUS = "UPDATE releases SET status = $2, updated_at = $3 WHERE id = $1";
    /// As [`EXPIRE`] and the purge of slugs would find them.
    WITH_EXPIRABLE = "SELECT releases.app_id FROM releases JOIN apps ON apps.id = releases.app_id \
        WHERE apps.server_id = $1 AND releases.status IN ('succeeded', 'failed') AND releases.slug_id IS NOT NULL \
        AND releases.created_at < $2 AND releases.version < apps.next_version - $3 \
        AND releases.id <> COALESCE(apps.current_release_id, '') \
        UNION SELECT slugs.app_id FROM slugs JOIN apps ON apps.id = slugs.app_id \
        WHERE apps.server_id = $1 AND slugs.created_at < $2 \
        AND NOT EXISTS (SELECT 1 FROM releases WHERE releases.slug_id = slugs.id) \
        AND NOT EXISTS (SELECT 1 FROM builds WHERE builds.slug_id = slugs.id AND builds.status = 'pending')";
    /// A failed one was never current and stays failed.
    EXPIRE = "UPDATE releases SET status = CASE WHEN status = 'succeeded' THEN 'expired' ELSE status END, \
        slug_id = NULL, updated_at = $2 WHERE app_id = $1 AND status IN ('succeeded', 'failed') \
        AND slug_id IS NOT NULL AND created_at < $3 \
        AND version < (SELECT next_version FROM apps WHERE id = $1) - $4 \
        AND id <> (SELECT COALESCE(current_release_id, '') FROM apps WHERE id = $1)";
    SET_CURRENT = "UPDATE apps SET current_release_id = $2, released_at = $3, updated_at = $3, \
        slug_bytes = (SELECT slugs.size_bytes FROM slugs JOIN releases ON releases.slug_id = slugs.id \
        WHERE releases.id = $2) \
        WHERE id = $1 AND EXISTS (SELECT 1 FROM releases WHERE releases.id = $2 AND releases.app_id = $1)";
}

reads! {
    /// The release of an app with this id.
    release(app_id: AppId, id: ReleaseId) -> one Release: BY_ID [app_id, id];
    /// The release of an app with this version.
    release_by_version(app_id: AppId, version: i64) -> one Release: BY_VERSION [app_id, version];
    /// The newest release of an app, whatever its status.
    newest_release(app_id: AppId) -> one Release: NEWEST [app_id];
    /// The newest that goes on with no other, whatever its status.
    newest_base_release(app_id: AppId) -> one Release: NEWEST_BASE [app_id];
    /// The release whose dynos should run.
    current_release(app_id: AppId) -> one Release: CURRENT [app_id];
}

impl Store {
    /// Releases of the apps of a span whose release phase waits or runs, oldest first.
    pub async fn pending_releases_within(&self, span: AppSpan) -> Result<Vec<Release>> {
        self.within(span, PENDING_WITHIN).await
    }

    /// The current release of each app of a span that has one.
    pub async fn current_releases_within(&self, span: AppSpan) -> Result<Vec<Release>> {
        self.within(span, CURRENT_WITHIN).await
    }

    /// Apps of this server that have releases or slugs which [`Tx::expire_releases`] would take.
    pub async fn apps_with_expirable_releases(&self, kept: i64, before: UnixMicros) -> Result<Vec<AppId>> {
        let values = values![self.server.id, before, kept];
        let rows = engine::all(&mut *self.reader().await?, WITH_EXPIRABLE, values).await?;
        Ok(rows.into_iter().map(|AppRow { app_id }| app_id).collect())
    }

    /// Part of an app's releases, by version.
    pub async fn releases(&self, app_id: AppId, range: VersionRange) -> Result<Vec<Release>> {
        let statement = match range.order {
            Order::Ascending => ASCENDING,
            Order::Descending => DESCENDING,
        };
        let (from, to) = (range.from.unwrap_or(1), range.to.unwrap_or(i64::MAX));
        let mut connection = self.reader().await?;
        engine::all(&mut connection, statement, values![app_id, from, to, range.max]).await
    }
}

impl Tx {
    /// Takes the slugs from an app's releases that were made before `before` and are none of its `kept` newest, nor
    /// current; those that had succeeded are expired from now on. Then deletes its slugs of that time that nothing needs
    /// any more: no release has them, and no build is about to release them. How many releases.
    pub async fn expire_releases(&mut self, app_id: AppId, kept: i64, before: UnixMicros) -> Result<u64> {
        let expired = self.execute(EXPIRE, values![app_id, self.now, before, kept]).await?;
        self.purge_old_slugs(app_id, before).await?;
        Ok(expired)
    }

    /// Makes a release with the app's next version and the config snapshot. It is not current yet.
    ///
    /// # Errors
    /// `AppGone`.
    pub async fn create_release(&mut self, new: &NewRelease) -> Result<Release> {
        let taken = self.one::<Number>(TAKE_VERSION, values![new.app_id, self.now]).await?;
        let Number(version) = taken.ok_or(StoreError::AppGone(new.app_id))?;
        let place = |whose| release_place(whose, new.app_id, new.id);
        let config = seal_vars(&self.sealer, &place(Whose::User), &new.config.user)?;
        let attached = seal_attached(&self.sealer, &place(Whose::Attachments), &new.config.attached)?;
        let values = values![
            new.id,
            new.app_id,
            version,
            new.description,
            new.account_id,
            new.slug_id,
            new.status,
            new.rollback_of,
            new.laid_on,
            new.release_command,
            new.output,
            config,
            attached,
            self.now
        ];
        self.execute(CREATE, values).await?;
        let made = self.release(new.app_id, new.id).await?;
        made.ok_or_else(|| StoreError::Gone { noun: "release", id: new.id.to_string() })
    }

    /// Changes the status of a release. Whether the change is allowed is the caller's to ask of the status.
    ///
    /// # Errors
    /// `Gone` when there is no such release.
    pub async fn set_release_status(&mut self, id: ReleaseId, status: ReleaseStatus) -> Result<()> {
        let values = values![id, status, self.now];
        self.change("release", id, SET_STATUS, values).await
    }

    /// Makes a release of the app the one whose dynos should run; the app's slug size follows.
    ///
    /// # Errors
    /// `Gone` when the app has no such release.
    pub async fn set_current_release(&mut self, app_id: AppId, id: ReleaseId) -> Result<()> {
        let values = values![app_id, id, self.now];
        self.change("release", id, SET_CURRENT, values).await
    }
}
