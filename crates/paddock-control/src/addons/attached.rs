//! What the attachments of an app say: its config vars that are not the user's.

use std::net::SocketAddr;
use std::sync::Arc;

use paddock_addons::{Login, Resource, Service};
use paddock_core::addon::AttachmentName;
use paddock_core::config::ConfigVars;
use paddock_core::{AccountId, AddonId, AppId};
use paddock_store::{Addon, CredentialState, DataServer, ListedAttachment, OpenCredential, StorageState, Tx};

use super::{Addons, DEFAULT, RESTRICTED, server};
use crate::Result;
use crate::deploy::release_steps::{release_attached, release_new_addon};
use crate::kernel::change::Change;

/// The description of a release that an attachment makes. Clients look for these words.
pub(super) fn described(verb: &str, attachment: &str, addon: &str) -> String {
    format!("{verb} {attachment} (@ref:{addon})")
}

/// The credential that an attachment of this namespace has.
pub(super) fn credential_of(namespace: Option<&str>) -> &str {
    namespace.and_then(|namespace| namespace.strip_prefix("credential:")).unwrap_or(DEFAULT)
}

/// What an add-on's attachments say, and of what: read at one moment.
pub(super) struct Spoken {
    service: Arc<dyn Service>,
    addon: Addon,
    address: Option<SocketAddr>,
    resource: Resource,
    logins: Vec<OpenCredential>,
}

impl Spoken {
    /// The config vars that an attachment of this name and credential gives; none while the add-on cannot be used, or of a
    /// credential that is none.
    pub(super) fn vars(&self, name: &str, credential: &str) -> ConfigVars {
        // Over its plan for too long, nobody else is let in.
        let credential = match self.addon.storage_state {
            StorageState::Restricted => RESTRICTED,
            StorageState::Available | StorageState::Over => credential,
        };
        let (Ok(name), Some(address), Some(login)) =
            (name.parse::<AttachmentName>(), self.address, self.newest(credential))
        else {
            return ConfigVars::new();
        };
        let config = self.service.config(address, &self.resource, &login);
        config
            .into_iter()
            .map(|(suffix, value)| (name.config_var(suffix), value.reveal().to_owned()))
            .collect()
    }

    /// Whether there is such a credential still.
    pub(super) fn knows(&self, credential: &str) -> bool {
        self.newest(credential).is_some()
    }

    /// The newest login of a credential that works. Of an add-on that is just being made, the newest.
    fn newest(&self, credential: &str) -> Option<Login> {
        let mut named = self.logins.iter().filter(|one| one.credential.name == credential);
        let works = named.clone().rfind(|one| one.credential.state == CredentialState::Active);
        works.or_else(|| named.next_back()).map(server::login)
    }
}

/// Why apps are told of an add-on that they have attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It can be used now. That runs the release phase.
    New,
    /// It says something else than before.
    Changed,
    /// It could not be reached until now, whatever it says.
    Reached,
}

impl Addons {
    /// What the attachments of an add-on say now.
    pub(super) async fn spoken(&self, addon: Addon) -> Result<Spoken> {
        let store = &self.kernel.store;
        let server = match addon.data_server_id {
            Some(id) => store.data_server(id).await?,
            None => None,
        };
        let logins = store.open_credentials_of_addon(addon.id).await?;
        let secrets = store.addon_secrets(addon.id).await?;
        self.spoken_by(addon, server.as_ref(), &secrets, logins)
    }

    /// The same within a transaction.
    pub(super) async fn spoken_in(&self, tx: &mut Tx, addon: Addon) -> Result<Spoken> {
        let server = match addon.data_server_id {
            Some(id) => tx.data_server(id).await?,
            None => None,
        };
        let logins = tx.open_credentials_of_addon(addon.id).await?;
        let secrets = tx.addon_secrets(addon.id).await?;
        self.spoken_by(addon, server.as_ref(), &secrets, logins)
    }

    fn spoken_by(
        &self,
        addon: Addon,
        server: Option<&DataServer>,
        secrets: &ConfigVars,
        logins: Vec<OpenCredential>,
    ) -> Result<Spoken> {
        Ok(Spoken {
            service: self.service_of(&addon)?.clone(),
            address: server.and_then(server::address_of),
            resource: self.resource_of(&addon, secrets, &logins)?,
            addon,
            logins,
        })
    }

    /// Brings what the attachments of an add-on say to what is so now, each app that hears something else by a release.
    /// Whether there was one. Within a change of the platform: whoever attaches takes that turn as well, so that no
    /// attachment is overlooked and keeps what is on its way out.
    pub(super) async fn follow(&self, tx: &mut Change<'_>, id: AddonId, told: Told) -> Result<bool> {
        let Some(addon) = tx.addon(id).await? else { return Ok(false) };
        let spoken = self.spoken_in(tx, addon).await?;
        let mut attachments = tx.attachments_of_addon(id).await?;
        attachments.sort_by_key(|one| (one.attachment.app_id, one.attachment.id));
        let mut has_changed = false;
        for ListedAttachment { attachment, .. } in attachments {
            let vars = spoken.vars(&attachment.name, credential_of(attachment.namespace.as_deref()));
            let is_known = tx.attachment_vars(attachment.id).await? == vars;
            if vars.is_empty() || (is_known && told != Told::Reached) {
                continue;
            }
            let Some(app) = tx.app(attachment.app_id).await? else { continue };
            tx.set_attachment_vars(attachment.id, &vars).await?;
            let all = tx.attachment_vars_of_app(app.id).await?;
            let description = match told {
                Told::New => described("Attach", &attachment.name, &spoken.addon.name),
                Told::Changed | Told::Reached => {
                    format!("Update {} by {}", attachment.name, spoken.addon.service)
                }
            };
            tx.say(app.id, description.clone());
            match told {
                Told::New => release_new_addon(tx, app.id, all, description, app.owner_id).await?,
                Told::Changed | Told::Reached => {
                    release_attached(tx, app.id, all, description, app.owner_id).await?
                }
            };
            has_changed = true;
        }
        Ok(has_changed)
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
