//! Reading add-ons and attachments: what is billed to apps that the actor may see, or attached to them.

use paddock_core::config::ConfigVars;
use paddock_core::{AddonId, AppRef, AttachmentId, ErrorId};
use paddock_store::{Addon as Row, ListedAddon, ListedAttachment};

use super::checked::gone;
use super::view::{self, Addon, AttachedAddon, Attachment};
use super::{Addons, DEFAULT};
use crate::{Actor, Error, Result};

impl Addons {
    /// Every add-on that is billed to an app of the actor's.
    pub async fn list_addons(&self, actor: &Actor) -> Result<Vec<Addon>> {
        let rows = self.kernel.store.addons_of(actor.account_id).await?;
        let attachments = self.kernel.store.attachments_of(actor.account_id).await?;
        Ok(rows.into_iter().filter_map(|row| self.view(row, &attachments)).collect())
    }

    /// The add-ons that are billed to an app, and those of other apps that it has attached.
    pub async fn list_addons_of_app(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Addon>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let rows = self.kernel.store.addons_of_app(app.id).await?;
        let attachments = self.kernel.store.attachments_of_app(app.id).await?;
        let own = rows.into_iter().filter_map(|row| self.view(row, &attachments)).collect();
        self.with_those_of(&attachments, own).await
    }

    /// With the add-ons besides that are attached.
    async fn with_those_of(
        &self,
        attached: &[ListedAttachment],
        mut addons: Vec<Addon>,
    ) -> Result<Vec<Addon>> {
        for one in attached {
            if addons.iter().all(|known| known.id != one.attachment.addon_id) {
                addons.push(self.addon_view(one.attachment.addon_id).await?);
            }
        }
        Ok(addons)
    }

    /// Every add-on of an app of the actor's, or attached to one.
    pub(super) async fn reachable_addons(&self, actor: &Actor) -> Result<Vec<Addon>> {
        let attached = self.kernel.store.attachments_of(actor.account_id).await?;
        self.with_those_of(&attached, self.list_addons(actor).await?).await
    }

    /// One add-on, by name or id, or by an attachment's name where an app is named.
    pub async fn addon(&self, actor: &Actor, app: Option<&AppRef>, identity: &str) -> Result<Addon> {
        let row = self.addon_row(actor, app, identity).await?;
        self.addon_view(row.id).await
    }

    pub async fn list_attachments(&self, actor: &Actor) -> Result<Vec<Attachment>> {
        let rows = self.kernel.store.attachments_of(actor.account_id).await?;
        Ok(rows.into_iter().filter_map(|row| self.attached_view(row)).collect())
    }

    pub async fn list_attachments_of_app(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Attachment>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let rows = self.kernel.store.attachments_of_app(app.id).await?;
        Ok(rows.into_iter().filter_map(|row| self.attached_view(row)).collect())
    }

    pub async fn list_attachments_of_addon(&self, actor: &Actor, addon: &str) -> Result<Vec<Attachment>> {
        let row = self.addon_row(actor, None, addon).await?;
        let rows = self.kernel.store.attachments_of_addon(row.id).await?;
        Ok(rows.into_iter().filter_map(|row| self.attached_view(row)).collect())
    }

    /// One attachment, by id, or by name within an app.
    pub async fn attachment(
        &self,
        actor: &Actor,
        app: Option<&AppRef>,
        identity: &str,
    ) -> Result<Attachment> {
        let all = match app {
            Some(app) => self.list_attachments_of_app(actor, app).await?,
            None => self.list_attachments(actor).await?,
        };
        let is_meant = |one: &Attachment| {
            one.id.to_string() == identity || (app.is_some() && one.name.eq_ignore_ascii_case(identity))
        };
        all.into_iter().find(is_meant).ok_or_else(gone)
    }

    /// The config vars of an add-on, as the app has them that it is billed to; of another credential than the default one,
    /// under the names that the service's first attachment has.
    pub async fn addon_config(
        &self,
        actor: &Actor,
        addon: &str,
        namespace: Option<&str>,
    ) -> Result<ConfigVars> {
        let row = self.managed_addon_row(actor, None, addon).await?;
        let credential = match namespace {
            None => DEFAULT,
            Some(namespace) => namespace.strip_prefix("credential:").unwrap_or(namespace),
        };
        let attachments = self.kernel.store.attachments_of_addon(row.id).await?;
        let own = attachments.iter().find(|one| Some(one.attachment.app_id) == row.app_id);
        let first = self.service_of(&row)?.info().first_attachment;
        let name = match (namespace, own) {
            (None, Some(own)) => own.attachment.name.as_str(),
            _ => first,
        };
        Ok(self.spoken(row.clone()).await?.vars(name, credential))
    }

    /// The row that is meant, if the actor may see the app that it is billed to, or one that has it attached.
    pub(crate) async fn addon_row(&self, actor: &Actor, app: Option<&AppRef>, identity: &str) -> Result<Row> {
        let store = &self.kernel.store;
        let is_meant = |row: &Row| row.name == identity || row.id.to_string() == identity;
        let (billed, attached) = match app {
            Some(app) => {
                let app = self.kernel.visible_app(actor, app).await?;
                (store.addons_of_app(app.id).await?, store.attachments_of_app(app.id).await?)
            }
            None => (store.addons_of(actor.account_id).await?, store.attachments_of(actor.account_id).await?),
        };
        if let Some(found) = billed.into_iter().map(|listed| listed.addon).find(is_meant) {
            return Ok(found);
        }
        let attachment = attached.into_iter().find(|one| {
            one.addon_name == identity
                || one.attachment.addon_id.to_string() == identity
                || (app.is_some() && one.attachment.name.eq_ignore_ascii_case(identity))
        });
        let found = match attachment {
            Some(one) => store.addon(one.attachment.addon_id).await?,
            None => None,
        };
        found.ok_or_else(missing)
    }

    /// The same for what is done to the add-on itself, or told of all its credentials: who works on an app that only has it
    /// attached uses what that app has of it.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for who does not work on the app that it is billed to.
    pub(super) async fn managed_addon_row(
        &self,
        actor: &Actor,
        app: Option<&AppRef>,
        identity: &str,
    ) -> Result<Row> {
        let row = self.addon_row(actor, app, identity).await?;
        match self.manages(actor, &row).await? {
            true => Ok(row),
            false => Err(not_managed(&row)),
        }
    }

    /// Whether the actor works on the app that an add-on is billed to.
    pub(super) async fn manages(&self, actor: &Actor, row: &Row) -> Result<bool> {
        let Some(billed) = row.app_id else { return Err(missing()) };
        match self.kernel.visible_app(actor, &AppRef::Id(billed)).await {
            Ok(_) => Ok(true),
            Err(error) if error.id == ErrorId::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether an app that the actor works on has an add-on by this credential.
    pub(super) async fn has(&self, actor: &Actor, addon: AddonId, namespace: Option<&str>) -> Result<bool> {
        let attached = self.kernel.store.attachments_of(actor.account_id).await?;
        let is_meant = |one: &ListedAttachment| {
            one.attachment.addon_id == addon && one.attachment.namespace.as_deref() == namespace
        };
        Ok(attached.iter().any(is_meant))
    }

    pub(super) async fn addon_view(&self, id: AddonId) -> Result<Addon> {
        let row = self.kernel.store.listed_addon(id).await?.ok_or_else(missing)?;
        let attachments = self.kernel.store.attachments_of_addon(id).await?;
        self.view(row, &attachments).ok_or_else(missing)
    }

    pub(super) async fn attachment_view(&self, id: AttachmentId) -> Result<Attachment> {
        let row = self.kernel.store.attachment(id).await?;
        row.and_then(|row| self.attached_view(row)).ok_or_else(gone)
    }

    /// One whose app is gone is on its way out, and shown to nobody; so is one of a service that this version does not know.
    fn view(&self, listed: ListedAddon, attachments: &[ListedAttachment]) -> Option<Addon> {
        let ListedAddon { addon: row, app_name } = listed;
        let own = |one: &&ListedAttachment| {
            one.attachment.addon_id == row.id && Some(one.attachment.app_id) == row.app_id
        };
        let own = attachments.iter().filter(own);
        Some(Addon {
            id: row.id,
            app_id: row.app_id?,
            app_name: app_name?,
            plan: view::plan_of(&self.catalogue, &row.service, &row.plan)?,
            state: row.state.as_str(),
            config_vars: own.flat_map(|one| one.attachment.var_names.clone()).collect(),
            provision_message: row.provision_message,
            created_at: row.created_at,
            updated_at: row.updated_at,
            name: row.name,
        })
    }

    fn attached_view(&self, listed: ListedAttachment) -> Option<Attachment> {
        let plan = view::plan_of(&self.catalogue, &listed.service, &listed.plan)?;
        let row = listed.attachment;
        Some(Attachment {
            id: row.id,
            name: row.name,
            namespace: row.namespace,
            app_id: row.app_id,
            app_name: listed.app_name,
            addon: AttachedAddon {
                id: row.addon_id,
                name: listed.addon_name,
                app_id: listed.billed_app_id?,
                app_name: listed.billed_app_name?,
                plan,
            },
            config_vars: row.var_names,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub(super) fn not_managed(row: &Row) -> Error {
    let text =
        format!("{} is billed to an app that you do not work on: you can use it, not change it.", row.name);
    Error::new(ErrorId::Forbidden, text)
}

pub(super) fn missing() -> Error {
    Error::not_found_because("add_on", "Couldn't find that add-on.")
}
