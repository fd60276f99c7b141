//! Making an add-on: what is wanted is written down whole, names and secrets too, before anything is made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_addons::{Order, Placement, Service as ServicePort, ServiceInfo};
use paddock_core::addon::{AddonName, AddonState, AttachmentName};
use paddock_core::config::ConfigVars;
use paddock_core::event::Event;
use paddock_core::{AccountId, AddonId, AppId, AppRef, AttachmentId, ErrorId};
use paddock_store::{App, NewAddon, NewAttachment, Tx};
use uuid::Uuid;

use super::checked::{parse_attachment, parse_name, refused};
use super::{Addons, DEFAULT, view};
use crate::kernel::error::chain;
use crate::kernel::order_addons::OrderAddons;
use crate::{Actor, Error, Result};

/// How long the answer waits for what was asked for. What takes longer is there later, and the client is told how to see it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names that nobody chose are tried this often.
const NAME_ATTEMPTS: u32 = 5;
/// Most add-ons of one server.
const SHARED_MAX: u32 = 200;
/// Most add-ons of an app.
const ADDONS_MAX: usize = 40;

/// A wanted add-on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddonOrder {
    /// `SERVICE:PLAN`, or `SERVICE` for its first one.
    pub plan: String,
    pub name: Option<String>,
    /// The name of its first attachment.
    pub attachment: Option<String>,
    pub options: BTreeMap<String, String>,
}

#[async_trait]
impl OrderAddons for Addons {
    async fn order_for_first_release(&self, app: &App, by: AccountId, plans: &[String]) -> Vec<String> {
        let mut told = Vec::new();
        for plan in plans {
            told.push(match self.order_once(app, by, plan).await {
                Ok(Some(addon)) => format!("       Created {} ({})", addon.name, addon.plan.name),
                Ok(None) => continue,
                Err(error) if error.id == ErrorId::InternalServerError => {
                    tracing::warn!(app.name = %app.name, error = chain(&error), "could not make an add-on that a build asks for");
                    format!(" !     {plan} could not be made. Make it yourself: heroku addons:create {plan}")
                }
                Err(error) => format!(" !     Not made, as the buildpack asks for it: {plan}. {}", error.message),
            });
        }
        told
    }
}

/// What was ordered, found good.
struct Wanted<'a> {
    service: &'a Arc<dyn ServicePort>,
    order: Order,
    attachment: Option<AttachmentName>,
    options: BTreeMap<String, String>,
}

impl Addons {
    /// Makes an add-on, and waits for a moment until it can be used.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for a plan, a name or an option that is not to be had.
    pub async fn create_addon(&self, actor: &Actor, app: &AppRef, order: AddonOrder) -> Result<view::Addon> {
        let app = self.kernel.visible_app(actor, app).await?;
        let (service, plan) = self.catalogue.plan(&order.plan).map_err(refused)?;
        let wanted = Wanted {
            service,
            order: service.check(plan, &order.options).map_err(refused)?,
            attachment: order.attachment.as_deref().map(parse_attachment).transpose()?,
            options: order.options,
        };
        let name = order.name.as_deref().map(parse_name).transpose()?;
        let mut attempts = if name.is_some() { 1 } else { NAME_ATTEMPTS };
        let id = loop {
            attempts -= 1;
            let name = name.clone().unwrap_or_else(|| {
                AddonName::generated(service.info().addon_prefix, Uuid::new_v4().as_u64_pair().1)
            });
            match self.order(actor, app.id, &wanted, &name).await {
                Err(error) if attempts > 0 && error.id == ErrorId::InvalidParams && is_taken(&error) => {}
                ordered => break ordered?,
            }
        };
        self.settled(id, AddonState::Provisioning, PATIENCE).await;
        self.addon_view(id).await
    }

    /// The same for an app that has none of that service; nothing where it has one.
    async fn order_once(&self, app: &App, by: AccountId, plan: &str) -> Result<Option<view::Addon>> {
        let (service, _) = self.catalogue.plan(plan).map_err(refused)?;
        let name = service.info().name;
        let there = self.kernel.store.addons_of_app(app.id).await?;
        if there.iter().any(|listed| listed.addon.service == name) {
            return Ok(None);
        }
        let account = self.kernel.store.account(by).await?.ok_or_else(|| Error::not_found("account"))?;
        let actor = Actor { account_id: by, email: account.email, authorization_id: None };
        let order = AddonOrder { plan: plan.to_owned(), ..AddonOrder::default() };
        self.create_addon(&actor, &AppRef::Id(app.id), order).await.map(Some)
    }

    /// Writes down what is wanted.
    async fn order(
        &self,
        actor: &Actor,
        app: AppId,
        wanted: &Wanted<'_>,
        name: &AddonName,
    ) -> Result<AddonId> {
        let (info, plan) = (wanted.service.info(), wanted.order.plan);
        let resource = wanted.service.name(plan, &mut |bytes| crate::kernel::secret::fill(bytes));
        // The platform's lock: a server is chosen or made, and names are of all apps.
        let mut tx = self.kernel.change_platform("make an add-on").await?;
        tx.also_for_app(app).await?;
        if tx.addons_of_app(app).await?.len() >= ADDONS_MAX {
            return Err(Error::invalid(format!("An app can have at most {ADDONS_MAX} add-ons.")));
        }
        let attachment = self.free_attachment(&mut tx, app, info, wanted.attachment.as_ref()).await?;
        let server_id = match plan.placement {
            Placement::Shared => {
                match tx.data_server_with_room(info.name, &wanted.order.version, SHARED_MAX).await? {
                    Some(server) => server.id,
                    None => self.new_server(&mut tx, info, &wanted.order).await?,
                }
            }
            Placement::Own => self.new_server(&mut tx, info, &wanted.order).await?,
        };
        let new = NewAddon {
            id: AddonId::from_uuid(Uuid::now_v7()),
            name: name.to_string(),
            app_id: app,
            service: info.name.to_owned(),
            plan: plan.name.to_owned(),
            options: wanted.options.clone(),
            secrets: super::server::secrets_of(&resource),
            provision_message: None,
        };
        tx.create_addon(&new).await?;
        tx.place_addon(new.id, Some(server_id)).await?;
        for login in &resource.credential.logins {
            tx.create_credential(&super::server::new_credential(new.id, DEFAULT, login)).await?;
        }
        tx.create_attachment(&NewAttachment {
            id: AttachmentId::from_uuid(Uuid::now_v7()),
            app_id: app,
            addon_id: new.id,
            name: attachment.to_string(),
            namespace: None,
            // Nothing to say yet.
            vars: ConfigVars::new(),
        })
        .await?;
        tx.say(app, format!("Create {}:{} as {name} by user {}", info.name, plan.name, actor.email));
        let event = Event::AddonCreated { app, addon: new.id, plan: format!("{}:{}", info.name, plan.name) };
        tx.commit("addon.ordered", event, actor).await?;
        Ok(new.id)
    }

    /// The name that an attachment gets: the wanted one if it is free, else the service's next.
    ///
    /// # Errors
    /// `invalid_params` where the app has that name, or a config var of the user's of that name.
    pub(super) async fn free_attachment(
        &self,
        tx: &mut Tx,
        app: AppId,
        info: &ServiceInfo,
        wanted: Option<&AttachmentName>,
    ) -> Result<AttachmentName> {
        let taken: Vec<_> =
            tx.attachments_of_app(app).await?.into_iter().map(|one| one.attachment.name).collect();
        let user = tx.owned_config(app).await?.user;
        let of_user = |name: &str| {
            info.config_suffixes
                .iter()
                .map(|suffix| format!("{name}_{suffix}"))
                .find(|var| user.contains_key(var))
        };
        let Some(name) = wanted else {
            return Ok(AttachmentName::default_for(info.first_attachment, info.colour_prefix, |name| {
                taken.iter().any(|one| one == name) || of_user(name).is_some()
            }));
        };
        if taken.iter().any(|one| one == name.as_str()) {
            return Err(Error::invalid(format!("An add-on is already attached as {name} to this app.")));
        }
        if let Some(var) = of_user(name.as_str()) {
            return Err(Error::invalid(format!(
                "The app has a config var {var} of its own. Unset it first (heroku config:unset {var}), or attach under another name (--as)."
            )));
        }
        Ok(name.clone())
    }

    /// Waits until an add-on is in another state than this one, or gone.
    pub(super) async fn settled(&self, id: AddonId, state: AddonState, patience: Duration) {
        let mut changes = self.kernel.wakes.changes.listen();
        let waited = tokio::time::timeout(patience, async {
            while let Ok(Some(row)) = self.kernel.store.addon(id).await {
                if row.state != state {
                    return;
                }
                changes.heard(Duration::from_millis(250)).await;
            }
        });
        // What is not there in time is there later.
        let _ = waited.await;
    }
}

fn is_taken(error: &Error) -> bool {
    error.message.ends_with("is already taken")
}
