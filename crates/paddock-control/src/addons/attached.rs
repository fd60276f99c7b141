//! What the attachments of an app say: its config vars that are not the user's.

use paddock_addons::Login;
use paddock_core::addon::AttachmentName;
use paddock_core::config::ConfigVars;
use paddock_core::{AccountId, AppId};
use paddock_store::{Addon, ListedAttachment, StorageState, Tx};

use super::{Addons, DEFAULT, RESTRICTED, server};
use crate::Result;
use crate::deploy::release_steps::release_attached;

/// The description of a release that an attachment makes. Clients look for these words.
pub(super) fn described(verb: &str, attachment: &str, addon: &str) -> String {
    format!("{verb} {attachment} (@ref:{addon})")
}

/// The credential that an attachment of this namespace has.
pub(super) fn credential_of(namespace: Option<&str>) -> &str {
    namespace.and_then(|namespace| namespace.strip_prefix("credential:")).unwrap_or(DEFAULT)
}

impl Addons {
    /// The config vars that an attachment of this name and credential gives; none while the add-on cannot be used.
    pub(super) async fn vars(&self, addon: &Addon, name: &str, credential: &str) -> Result<ConfigVars> {
        // Over its plan for too long, nobody else is let in.
        let credential = match addon.storage_state {
            StorageState::Restricted => RESTRICTED,
            StorageState::Available | StorageState::Over => credential,
        };
        match self.newest_login(addon.id, credential).await? {
            Some(login) => self.vars_by(addon, name, &login).await,
            None => Ok(ConfigVars::new()),
        }
    }

    /// The same by a certain login.
    pub(super) async fn vars_by(&self, addon: &Addon, name: &str, login: &Login) -> Result<ConfigVars> {
        let store = &self.kernel.store;
        let Some(server) = addon.data_server_id else { return Ok(ConfigVars::new()) };
        let (Ok(name), Some(row)) = (name.parse::<AttachmentName>(), store.data_server(server).await?) else {
            return Ok(ConfigVars::new());
        };
        let Some(address) = server::address_of(&row) else { return Ok(ConfigVars::new()) };
        let resource = self.resource(addon).await?;
        let config = self.service_of(addon)?.config(address, &resource, login);
        Ok(config
            .into_iter()
            .map(|(suffix, value)| (name.config_var(suffix), value.reveal().to_owned()))
            .collect())
    }

    /// Makes the release of an app's attachments as they are now.
    pub(super) async fn release_as_attached(
        &self,
        tx: &mut Tx,
        app: AppId,
        description: String,
        by: AccountId,
    ) -> Result<()> {
        let vars = tx.attachment_vars_of_app(app).await?;
        release_attached(tx, app, vars, description, by).await?;
        Ok(())
    }

    /// Takes an add-on from every app that has it, each by a release; in the order of the apps' ids. `but` is an app that is
    /// about to go itself.
    pub(super) async fn detach_all(
        &self,
        tx: &mut Tx,
        addon: &Addon,
        mut attachments: Vec<ListedAttachment>,
        but: Option<AppId>,
        by: AccountId,
    ) -> Result<()> {
        attachments.sort_by_key(|one| (one.attachment.app_id, one.attachment.id));
        for ListedAttachment { attachment, .. } in attachments {
            if Some(attachment.app_id) == but {
                continue;
            }
            tx.also_for_app(attachment.app_id).await?;
            tx.delete_attachment(attachment.id).await?;
            if !attachment.var_names.is_empty() {
                let description = described("Detach", &attachment.name, &addon.name);
                self.release_as_attached(tx, attachment.app_id, description, by).await?;
            }
        }
        Ok(())
    }
}
