//! Taking an add-on down: names and config vars go at once, what it was on its server soon after.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::addon::AddonState;
use paddock_core::event::Event;
use paddock_core::{AccountId, AppId, AppRef, ErrorId};

use super::{Addons, view};
use crate::kernel::change::Change;
use crate::kernel::end_of_app::EndOfApp;
use crate::{Actor, Error, Result};

/// How long the answer waits until it is gone.
const PATIENCE: Duration = Duration::from_secs(5);

#[async_trait]
impl EndOfApp for Addons {
    /// What is billed to it goes, for every app that has it attached.
    async fn end_of_app(&self, tx: &mut Change<'_>, app: AppId, by: AccountId) -> Result<()> {
        for listed in tx.addons_of_app(app).await? {
            let attachments = tx.attachments_of_addon(listed.addon.id).await?;
            self.detach_all(tx, &listed.addon, attachments, Some(app), by).await?;
        }
        tx.abandon_addons(app).await?;
        Ok(())
    }
}

impl Addons {
    /// Destroys an add-on of an app. Every app that has it attached loses its config vars, each by a release. `sure` also
    /// where other apps have it.
    ///
    /// # Errors
    /// `not_found`; `confirmation_required` where other apps have it attached.
    pub async fn destroy_addon(
        &self,
        actor: &Actor,
        app: &AppRef,
        identity: &str,
        sure: bool,
    ) -> Result<view::Addon> {
        let row = self.managed_addon_row(actor, Some(app), identity).await?;
        let mut shown = self.addon_view(row.id).await?;
        let mut tx = self.kernel.change_platform("destroy an add-on").await?;
        let attachments = tx.attachments_of_addon(row.id).await?;
        // An app may have it by several names.
        let apps: BTreeSet<_> = attachments.iter().map(|one| one.attachment.app_id).collect();
        let foreign = apps.iter().filter(|app| Some(**app) != row.app_id).count();
        if foreign > 0 && !sure {
            let text = format!(
                "{} is attached to {foreign} other {}, which would lose it (--force destroys it all the same)",
                row.name,
                if foreign == 1 { "app" } else { "apps" }
            );
            return Err(Error::new(ErrorId::ConfirmationRequired, text));
        }
        self.detach_all(&mut tx, &row, attachments, None, actor.account_id).await?;
        tx.set_addon_state(row.id, AddonState::Deprovisioning).await?;
        let Some(billed) = row.app_id else { return Ok(shown) };
        tx.also_for_app(billed).await?;
        tx.say(billed, format!("Destroy {} by user {}", row.name, actor.email));
        let event = Event::AddonDestroyed { app: billed, addon: row.id };
        tx.commit("addon.destroyed", event, actor).await?;
        self.tell_reach(None).await;
        self.settled(row.id, AddonState::Deprovisioning, PATIENCE).await;
        shown.state = match self.kernel.store.addon(row.id).await? {
            Some(row) => row.state.as_str(),
            None => AddonState::Deprovisioned.as_str(),
        };
        Ok(shown)
    }
}
