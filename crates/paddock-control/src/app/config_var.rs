//! Config vars: one change is one release, made in the same transaction.

use std::collections::BTreeMap;

use paddock_core::config::{self, ConfigVars};
use paddock_core::event::Event;
use paddock_core::release::ReleaseStatus;
use paddock_core::{AppId, AppRef, SlugId};
use paddock_store::Tx;

use crate::app::Apps;
use crate::deploy::release::announce;
use crate::deploy::release_steps::{ReleaseDraft, add_release};
use crate::{Actor, Error, Result};

impl Apps {
    pub async fn config_vars(&self, actor: &Actor, app: &AppRef) -> Result<ConfigVars> {
        let app = self.kernel.visible_app(actor, app).await?;
        Ok(self.kernel.store.config_vars(app.id).await?)
    }

    /// Sets (`Some`) and removes (`None`) config vars, and makes the release of it, unless nothing changes. Answers
    /// all of them as they are then.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for a key or value that no environment can hold.
    pub async fn update_config_vars(
        &self,
        actor: &Actor,
        app: &AppRef,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<ConfigVars> {
        let app = self.kernel.visible_app(actor, app).await?;
        let mut tx = self.kernel.change_app(app.id, "change config vars").await?;
        let current = tx.config_vars(app.id).await?;
        let next = config::apply(&current, &changes).map_err(|error| Error::invalid(format!("{error}.")))?;
        // What is set to the value it has, or removed where it is not, is no change.
        let effective: BTreeMap<_, _> =
            changes.into_iter().filter(|(key, value)| current.get(key) != value.as_ref()).collect();
        if effective.is_empty() {
            return Ok(current);
        }
        tx.set_config(app.id, &next).await?;
        let description = config::describe(&effective);
        let draft = ReleaseDraft {
            description: description.clone(),
            account_id: actor.account_id,
            slug_id: base_slug(&mut tx, app.id).await?,
            rollback_of: None,
            config: next.clone(),
        };
        let release = add_release(&mut tx, app.id, draft).await?;
        tx.say(app.id, format!("{description} by user {}", actor.email));
        tx.say(app.id, announce(&release, &actor.email));
        tx.commit(
            "config.changed",
            Event::ConfigUpdated {
                app: app.id,
                keys: effective.into_keys().collect(),
                release: release.version,
            },
            actor,
        )
        .await?;
        Ok(next)
    }

    /// The config vars that a release was made with.
    pub async fn release_config_vars(
        &self,
        actor: &Actor,
        app: &AppRef,
        release: &str,
    ) -> Result<ConfigVars> {
        let app = self.kernel.visible_app(actor, app).await?;
        let release = self.deploy.release_row(&app, release).await?;
        Ok(self.kernel.store.config_vars_of_release(app.id, release.id).await?)
    }
}

/// What a config change is laid upon: the newest release that has not failed. One that waits for its release phase
/// counts, and the change then waits behind it.
async fn base_slug(tx: &mut Tx, app: AppId) -> Result<Option<SlugId>> {
    let newest = tx.newest_release(app).await?;
    match newest.filter(|release| release.status == ReleaseStatus::Pending) {
        Some(pending) => Ok(pending.slug_id),
        None => Ok(tx.current_release(app).await?.and_then(|release| release.slug_id)),
    }
}
