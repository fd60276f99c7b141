//! Config vars: one change is one release, made in the same transaction.

use std::collections::BTreeMap;

use paddock_core::AppRef;
use paddock_core::config::{self, ConfigVars, OwnedConfig};
use paddock_core::event::Event;

use crate::app::Apps;
use crate::deploy::release::announce;
use crate::deploy::release_steps::{ReleaseDraft, add_release, base_slug};
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
    /// `not_found`; `invalid_params` for a key or value that no environment can hold, and for what an attachment says.
    pub async fn update_config_vars(
        &self,
        actor: &Actor,
        app: &AppRef,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<ConfigVars> {
        let app = self.kernel.visible_app(actor, app).await?;
        let mut tx = self.kernel.change_app(app.id, "change config vars").await?;
        let current = tx.owned_config(app.id).await?;
        let effective = current.effective(changes);
        if effective.is_empty() {
            return Ok(current.merged());
        }
        let user = current.apply(&effective).map_err(|error| Error::invalid(format!("{error}.")))?;
        tx.set_config(app.id, &user).await?;
        let description = config::describe(&effective);
        let draft = ReleaseDraft {
            description: description.clone(),
            account_id: actor.account_id,
            slug_id: base_slug(&mut tx, app.id).await?,
            rollback_of: None,
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
        Ok(OwnedConfig { user, ..current }.merged())
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
