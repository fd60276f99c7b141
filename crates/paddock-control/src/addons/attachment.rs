//! Attaching and detaching: the names under which apps have an add-on.

use paddock_core::addon::{AddonState, AttachmentName};
use paddock_core::config::ConfigVars;
use paddock_core::event::Event;
use paddock_core::{AppRef, AttachmentId, ErrorId};
use paddock_store::{Addon, ListedAttachment, NewAttachment, Tx};
use uuid::Uuid;

use super::attached::{credential_of, described};
use super::checked::{gone, parse_attachment};
use super::credential::no_such;
use super::list::{missing, not_managed};
use super::{Addons, view};
use crate::{Actor, Error, Result};

/// A wanted attachment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttachmentOrder {
    /// The add-on, by name or id.
    pub addon: String,
    pub name: Option<String>,
    /// `credential:NAME`.
    pub namespace: Option<String>,
    /// Whether it may take the place of another one of that name.
    pub replaces: bool,
}

impl Addons {
    /// Attaches an add-on to an app.
    ///
    /// # Errors
    /// `not_found`; `confirmation_required` where the name is another add-on's; `invalid_params`.
    pub async fn attach(
        &self,
        actor: &Actor,
        app: &AppRef,
        order: AttachmentOrder,
    ) -> Result<view::Attachment> {
        let app = self.kernel.visible_app(actor, app).await?;
        let addon = self.addon_row(actor, None, &order.addon).await?;
        self.check_attachable(&addon, app.owner_id).await?;
        let namespace = self.checked_namespace(&addon, order.namespace.as_deref()).await?;
        if !self.manages(actor, &addon).await? && !self.has(actor, addon.id, namespace.as_deref()).await? {
            return Err(not_managed(&addon));
        }
        let wanted =
            order.name.as_deref().filter(|name| !name.is_empty()).map(parse_attachment).transpose()?;
        let info = self.service_of(&addon)?.info();
        if let Some(server) = addon.data_server_id {
            self.tell_reach(Some((app.tenant(), server))).await;
        }
        // The platform's turn, as has whoever changes what an add-on says: else it could be said anew beside this.
        let mut tx = self.kernel.change_platform("attach an add-on").await?;
        tx.also_for_app(app.id).await?;
        let addon = tx.addon(addon.id).await?.ok_or_else(missing)?;
        check_is_there(&addon)?;
        let there = tx.attachments_of_app(app.id).await?;
        let same_name =
            wanted.as_ref().and_then(|name| there.iter().find(|one| one.attachment.name == name.as_str()));
        let name = match (same_name, wanted) {
            (Some(one), _)
                if one.attachment.addon_id == addon.id && one.attachment.namespace == namespace =>
            {
                let id = one.attachment.id;
                drop(tx);
                return self.attachment_view(id).await;
            }
            (Some(one), Some(name)) => {
                if !order.replaces {
                    let text = format!(
                        "{name} is the name of another attachment of this app. Confirm to have it replaced."
                    );
                    return Err(Error::new(ErrorId::ConfirmationRequired, text));
                }
                self.take_away(&mut tx, one, actor).await?;
                name
            }
            (_, wanted) => self.free_attachment(&mut tx, app.id, info, wanted.as_ref()).await?,
        };
        let new = NewAttachment {
            id: AttachmentId::from_uuid(Uuid::now_v7()),
            app_id: app.id,
            addon_id: addon.id,
            name: name.to_string(),
            vars: self.vars_in(&mut tx, &addon, &name, namespace.as_deref()).await?,
            namespace,
        };
        tx.create_attachment(&new).await?;
        let description = described("Attach", name.as_str(), &addon.name);
        tx.say(app.id, format!("{description} by user {}", actor.email));
        self.release_as_attached(&mut tx, app.id, description, actor.account_id).await?;
        let event = Event::AttachmentCreated { app: app.id, addon: addon.id, name: name.to_string() };
        tx.commit("addon.attached", event, actor).await?;
        self.attachment_view(new.id).await
    }

    /// What an attachment says, if its credential is still there.
    async fn vars_in(
        &self,
        tx: &mut Tx,
        addon: &Addon,
        name: &AttachmentName,
        namespace: Option<&str>,
    ) -> Result<ConfigVars> {
        let credential = credential_of(namespace);
        let spoken = self.spoken_in(tx, addon.clone()).await?;
        match spoken.knows(credential) {
            true => Ok(spoken.vars(name.as_str(), credential)),
            false => Err(no_such(credential)),
        }
    }

    /// Takes an attachment away that another one is to have the name of.
    async fn take_away(
        &self,
        tx: &mut crate::kernel::change::Change<'_>,
        listed: &ListedAttachment,
        actor: &Actor,
    ) -> Result<()> {
        let row = &listed.attachment;
        tx.delete_attachment(row.id).await?;
        let description = described("Detach", &row.name, &listed.addon_name);
        tx.say(row.app_id, format!("{description} by user {}", actor.email));
        self.release_as_attached(tx, row.app_id, description, actor.account_id).await
    }

    async fn check_attachable(&self, addon: &Addon, owner: paddock_core::AccountId) -> Result<()> {
        check_is_there(addon)?;
        let billed = match addon.app_id {
            Some(app) => self.kernel.store.app(app).await?,
            None => None,
        };
        if billed.is_some_and(|billed| billed.owner_id != owner) {
            return Err(Error::invalid(format!(
                "{} belongs to another owner than this app: add-ons are shared among the apps of one owner.",
                addon.name
            )));
        }
        Ok(())
    }

    /// `credential:default` is what an attachment has without a namespace.
    async fn checked_namespace(&self, addon: &Addon, namespace: Option<&str>) -> Result<Option<String>> {
        let Some(namespace) = namespace.filter(|text| !text.is_empty()) else { return Ok(None) };
        let Some(name) = namespace.strip_prefix("credential:") else {
            return Err(Error::invalid(format!(
                "{namespace:?} is no namespace of an attachment that is built: credential:NAME is."
            )));
        };
        if name == "default" {
            return Ok(None);
        }
        let known = self.kernel.store.credentials_named(addon.id, name).await?;
        match !known.is_empty() {
            true => Ok(Some(namespace.to_owned())),
            false => Err(Error::invalid(format!(
                "Couldn't find that credential: {} has none called {name:?}. See heroku pg:credentials.",
                addon.name
            ))),
        }
    }

    /// Takes an attachment away.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for the last one of the app that the add-on is billed to.
    pub async fn detach(&self, actor: &Actor, identity: &str) -> Result<view::Attachment> {
        let shown = self.attachment(actor, None, identity).await?;
        let mut tx = self.kernel.change_platform("detach an add-on").await?;
        tx.also_for_app(shown.app_id).await?;
        let Some(listed) = tx.attachment(shown.id).await? else { return Err(gone()) };
        let row = &listed.attachment;
        let others = tx.attachments_of_addon(row.addon_id).await?;
        let billed_to = shown.addon.app_id;
        if row.app_id == billed_to
            && others.iter().filter(|one| one.attachment.app_id == billed_to).count() == 1
        {
            return Err(Error::invalid(format!(
                "Cannot destroy last attachment to billing app for resource {}. Destroy the add-on instead (heroku addons:destroy).",
                shown.addon.name
            )));
        }
        self.take_away(&mut tx, &listed, actor).await?;
        let event =
            Event::AttachmentDestroyed { app: row.app_id, addon: row.addon_id, name: row.name.clone() };
        tx.commit("addon.detached", event, actor).await?;
        self.tell_reach(None).await;
        Ok(shown)
    }
}

fn check_is_there(addon: &Addon) -> Result<()> {
    match addon.state {
        AddonState::Provisioned => Ok(()),
        other => Err(Error::invalid(format!(
            "{} is {}: it can be attached when it is provisioned (heroku addons:wait).",
            addon.name,
            other.as_str()
        ))),
    }
}
