//! What became of add-ons, written down: every app that has one attached hears of it.

use paddock_addons::ServerAccess;
use paddock_core::addon::{AddonState, PROVISIONING_MAX};
use paddock_core::{AddonId, DataServerId, durable};
use paddock_store::{Addon, DataServerState, StorageState};

use super::Addons;
use super::attached::Told;
use crate::{Error, Result};

impl Addons {
    /// An add-on can be used: every app that has it attached is released with its config vars.
    pub(super) async fn record_provisioned(&self, id: AddonId) -> Result<()> {
        let mut tx = self.kernel.change_platform("write down that an add-on is there").await?;
        let Some(addon) = tx.addon(id).await? else { return Ok(()) };
        if !addon.state.may_become(AddonState::Provisioned) {
            return Ok(());
        }
        tx.set_addon_state(id, AddonState::Provisioned).await?;
        for login in tx.credentials_of_addon(id).await? {
            tx.enable_credential(login.id).await?;
        }
        self.follow(&mut tx, id, Told::New).await?;
        tx.commit_quietly("addon.provisioned").await
    }

    /// An add-on that cannot be made is given up: what there is of it is removed, and the app is told.
    /// Source: `docs/contract/data-services.md`, section 3.3.
    pub(super) async fn give_up(&self, id: AddonId) -> Result<()> {
        let mut tx = self.kernel.change_platform("give an add-on up").await?;
        let Some(addon) = tx.addon(id).await? else { return Ok(()) };
        let (Some(billed), true) = (addon.app_id, addon.state.may_become(AddonState::Deprovisioned)) else {
            return Ok(());
        };
        let Some(app) = tx.app(billed).await? else { return Ok(()) };
        let attachments = tx.attachments_of_addon(id).await?;
        self.detach_all(&mut tx, &addon, attachments, None, app.owner_id).await?;
        tx.set_addon_state(id, AddonState::Deprovisioned).await?;
        tx.also_for_app(billed).await?;
        let plan = format!("{}:{}", addon.service, addon.plan);
        let hours = PROVISIONING_MAX.as_secs() / 3600;
        tracing::error!(addon.name, plan, "an add-on could not be made within {hours} hours and is given up");
        tx.say(
            billed,
            format!(
                "{} could not be made within {hours} hours and is given up. Order it again: heroku addons:create {plan}",
                addon.name
            ),
        );
        tx.commit_quietly("addon.given_up").await
    }

    /// Apps that have an add-on under another address than it has now are released with the right one: after a restore on
    /// another machine, say.
    pub(super) async fn mend_addresses(&self, id: AddonId, told: Told) -> Result<()> {
        let mut tx = self.kernel.change_platform("mend the address of an add-on").await?;
        match self.follow(&mut tx, id, told).await? {
            true => tx.commit_quietly("addon.address_mended").await,
            false => Ok(()),
        }
    }

    /// What there is of an add-on that can be used, on a server that may have been made anew.
    pub(super) async fn bring_to_its_plan(&self, access: &ServerAccess, addon: &Addon) -> Result<()> {
        let resource = self.resource(addon).await?;
        let service = self.service_of(addon)?;
        let brought = durable!("addon.brought_to_plan", service.provision(access, &resource).await);
        brought.map_err(|error| Error::internal("bring an add-on to its plan", error))?;
        for credential in self.further_credentials(addon.id).await? {
            self.put_credential(access, &resource, &credential).await?;
        }
        // As it is now: it may be let free meanwhile.
        let _one = self.restricting.lock().await;
        match self.kernel.store.addon(addon.id).await? {
            Some(now) if now.storage_state == StorageState::Restricted => {
                self.restrict_on_server(access, &now, &resource).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn record_deprovisioned(&self, id: AddonId) -> Result<()> {
        let mut tx = self.kernel.record("forget an add-on").await?;
        tx.delete_addon(id).await?;
        tx.commit_quietly("addon.forgotten").await
    }

    pub(super) async fn retire_server(&self, id: DataServerId) -> Result<()> {
        let mut tx = self.kernel.record("let a data server go").await?;
        tx.set_data_server_state(id, DataServerState::Removing).await?;
        tx.commit_quietly("data_server.retired").await
    }
}
