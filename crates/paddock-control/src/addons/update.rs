//! Another name or another plan for an add-on.

use paddock_addons::{Order, Used};
use paddock_core::AppRef;
use paddock_core::addon::AddonState;
use paddock_core::event::Event;

use super::checked::{parse_name, refused};
use super::{Addons, view};
use crate::{Actor, Error, Result};

/// What to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddonChange {
    pub name: Option<String>,
    /// `SERVICE:PLAN`, or the plan alone.
    pub plan: Option<String>,
}

impl Addons {
    /// Renames an add-on, changes its plan.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for a name that is taken, a plan that does not fit.
    pub async fn update_addon(
        &self,
        actor: &Actor,
        app: Option<&AppRef>,
        identity: &str,
        change: AddonChange,
    ) -> Result<view::Addon> {
        let row = self.managed_addon_row(actor, app, identity).await?;
        let name =
            change.name.as_deref().map(parse_name).transpose()?.filter(|name| name.as_str() != row.name);
        let plan = match &change.plan {
            None => None,
            Some(plan) => Some(self.checked_plan(&row, plan).await?),
        };
        let mut tx = self.kernel.change_platform("change an add-on").await?;
        let Some(billed) = row.app_id else { return self.addon_view(row.id).await };
        tx.also_for_app(billed).await?;
        if let Some(name) = &name {
            tx.rename_addon(row.id, name.as_str()).await?;
            tx.say(billed, format!("Rename {} to {name} by user {}", row.name, actor.email));
        }
        if let Some(plan) = plan {
            tx.set_addon_plan(row.id, plan).await?;
            if let Some(server) = self.own_server(&row).await? {
                tx.set_data_server_plan(server, plan).await?;
            }
            tx.say(billed, format!("Change {} to {}:{plan} by user {}", row.name, row.service, actor.email));
        }
        tx.commit("addon.changed", Event::AddonUpdated { app: billed, addon: row.id }, actor).await?;
        if plan.is_some() && self.own_server(&row).await?.is_none() {
            self.bring_to_plan(row.id).await?;
        }
        self.addon_view(row.id).await
    }

    /// In a shared server a plan is limits of a role and a database. What a kill cuts off here the reconciler does; one that is
    /// closed is brought to it by who opens it.
    async fn bring_to_plan(&self, id: paddock_core::AddonId) -> Result<()> {
        if self.dumps_to_fill.is_closed(id) {
            return Ok(());
        }
        let Some(row) = self.kernel.store.addon(id).await? else { return Ok(()) };
        let ready = self.reached(&row).await?;
        let service = self.service_of(&row)?;
        let done = paddock_core::durable!(
            "addon.plan_changed",
            service.provision(&ready.access, &ready.resource).await
        );
        self.done("bring the database to its plan", done)
    }

    async fn checked_plan(&self, row: &paddock_store::Addon, text: &str) -> Result<&'static str> {
        if row.state != AddonState::Provisioned {
            return Err(Error::invalid(format!(
                "{} is still {}. Try again when it is there.",
                row.name,
                row.state.as_str()
            )));
        }
        let service = self.service_of(row)?;
        let info = service.info();
        let text = text.strip_prefix(info.name).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text);
        let new = info.plan(Some(text)).map_err(refused)?;
        let old = info.plan(Some(&row.plan)).map_err(refused)?;
        let server = match row.data_server_id {
            Some(id) => self.kernel.store.data_server(id).await?,
            None => None,
        };
        let version = server.map(|server| server.version).unwrap_or_default();
        let used = self.used(row).await.unwrap_or(Used::default());
        Ok(service.change(&Order { plan: old, version }, new, used).map_err(refused)?.plan.name)
    }
}
