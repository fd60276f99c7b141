//! Once a minute: how much each database holds beside its plan, and what it is doing. Over its plan it is warned of, after a
//! time it is restricted to reading and deleting, and what is small enough again is free again by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_addons::postgres::{Sample, size_text};
use paddock_addons::{Resource, ServerAccess, StepError};
use paddock_core::addon::AddonState;
use paddock_core::durable;
use paddock_core::plan::storage::{Level, StorageState as Planned, next};
use paddock_store::{Addon, DataServer, DataServerState, StorageState};

use super::attached::Told;
use super::server::new_credential;
use super::storage::planned;
use super::{Addons, RESTRICTED, postgres::SERVICE};
use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::reconcile::{PassReport, Reconciler};

/// The process under which the line of numbers is in the log.
const METRICS: &str = "heroku-postgres";
/// A server that does not answer within this is looked at the next time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps databases to their plans.
pub(crate) struct LimitsReconciler {
    addons: Arc<Addons>,
}

impl LimitsReconciler {
    #[must_use]
    pub(crate) fn new(addons: Arc<Addons>) -> Self {
        Self { addons }
    }
}

#[async_trait]
impl Reconciler for LimitsReconciler {
    const NAME: &'static str = "database_limits";
    const INTERVAL: Duration = Duration::from_secs(60);

    async fn pass(&mut self) -> Result<PassReport> {
        let mut report = PassReport::default();
        for server in self.addons.kernel.store.data_servers().await? {
            if server.state != DataServerState::Available || server.service != SERVICE {
                continue;
            }
            match tokio::time::timeout(PATIENCE, self.addons.keep_to_plans(&server)).await {
                Ok(Ok(changed)) => report.done += changed,
                Ok(Err(error)) => {
                    tracing::info!(data_server.id = %server.id, error = chain(&error), "could not look at a data server");
                    report.failed += 1;
                }
                Err(_) => report.failed += 1,
            }
        }
        Ok(report)
    }
}

impl Addons {
    /// How many of a server's databases changed their state.
    async fn keep_to_plans(&self, server: &DataServer) -> Result<usize> {
        let password = self.kernel.store.data_server_password(server.id).await?;
        let access = self.access(server, &password)?;
        let failed = |error: StepError| Error::internal("look at the databases of a server", error);
        let sizes = self.postgres.sizes(&access).await.map_err(failed)?;
        if server.shared {
            for database in self.postgres.end_hoarders(&access).await.map_err(failed)? {
                tracing::warn!(data_server.id = %server.id, database, "a session with very many locks was ended");
            }
        }
        let mut changed = 0;
        for addon in self.kernel.store.addons_on(server.id).await? {
            if addon.state == AddonState::Provisioned && !self.dumps_to_fill.is_closed(addon.id) {
                changed += usize::from(self.keep_to_plan(&access, &addon, &sizes).await?);
            }
        }
        Ok(changed)
    }

    async fn keep_to_plan(
        &self,
        access: &ServerAccess,
        addon: &Addon,
        sizes: &BTreeMap<String, u64>,
    ) -> Result<bool> {
        let resource = self.resource(addon).await?;
        let Some(&held) = sizes.get(&resource.database) else { return Ok(false) };
        let sample = match self.postgres.sample(access, &resource).await {
            Ok(sample) => Some(sample),
            Err(error) => {
                tracing::info!(addon.name, error = chain(&error), "could not look at a database");
                None
            }
        };
        let mut levels = vec![Level { used: held, limit: resource.plan.storage_bytes }];
        if let (Some(most), Some(sample)) = (resource.plan.tables, &sample) {
            levels.push(Level { used: sample.used.tables, limit: u64::from(most) });
        }
        if let (false, Some(sample)) = (resource.plan.tables.is_some(), &sample) {
            self.tell_numbers(addon, &resource, sample).await?;
        }
        let before = planned(addon);
        let after = next(before, &levels, self.kernel.now(), self.kernel.config.data_storage_grace);
        match (before, after) {
            (Planned::Available, Planned::Available)
            | (Planned::ActionRequired { .. }, Planned::ActionRequired { .. })
            | (Planned::Restricted { .. }, Planned::Restricted { .. }) => return Ok(false),
            (_, Planned::Restricted { .. }) => self.restrict(access, addon, &resource).await?,
            (Planned::Restricted { .. }, _) => self.lift_restriction(access, addon, &resource).await?,
            (_, Planned::ActionRequired { .. }) => {
                self.set_storage(addon, StorageState::Over).await?;
                let (held, room) = (size_text(held), size_text(resource.plan.storage_bytes));
                self.tell_attached(addon, format!("{} is over the capacity of its plan ({held} of {room}). Delete something, or choose a larger plan (heroku addons:upgrade): after {} only reading and deleting is left.", addon.name, days(self.kernel.config.data_storage_grace))).await?;
            }
            (_, Planned::Available) => self.set_storage(addon, StorageState::Available).await?,
        }
        Ok(true)
    }

    async fn set_storage(&self, addon: &Addon, state: StorageState) -> Result<()> {
        let mut tx = self.kernel.record("note how full a database is").await?;
        tx.set_storage_state(addon.id, state).await?;
        tx.commit_quietly("addon.storage_noted").await
    }

    /// The login is written down first, so that a kill between leaves none that nobody knows.
    async fn restrict(&self, access: &ServerAccess, addon: &Addon, resource: &Resource) -> Result<()> {
        let _one = self.restricting.lock().await;
        if self.logins(addon.id, RESTRICTED).await?.is_empty() {
            let fill = &mut |bytes: &mut [u8]| crate::kernel::secret::fill(bytes);
            let login = paddock_addons::Service::new_login(&*self.postgres, fill);
            let mut tx = self.kernel.record("make the login of a restricted database").await?;
            tx.create_credential(&new_credential(addon.id, RESTRICTED, &login)).await?;
            tx.commit_quietly("addon.restriction_ordered").await?;
        }
        self.restrict_on_server(access, addon, resource).await?;
        self.release_storage(addon, StorageState::Restricted).await?;
        self.tell_attached(addon, format!("{} was over the capacity of its plan for too long: only reading and deleting is left, by one connection, until it is smaller.", addon.name)).await
    }

    pub(super) async fn restrict_on_server(
        &self,
        access: &ServerAccess,
        addon: &Addon,
        resource: &Resource,
    ) -> Result<()> {
        let Some(login) = self.logins(addon.id, RESTRICTED).await?.pop() else { return Ok(()) };
        let step = self.postgres.restrict(access, resource, &login);
        durable!("addon.restricted_on_server", step.await)
            .map_err(|error| Error::internal("restrict a database", error))
    }

    async fn lift_restriction(
        &self,
        access: &ServerAccess,
        addon: &Addon,
        resource: &Resource,
    ) -> Result<()> {
        let _one = self.restricting.lock().await;
        let step = self.postgres.lift_restriction(access, resource);
        durable!("addon.restriction_lifted_on_server", step.await)
            .map_err(|error| Error::internal("lift the restriction of a database", error))?;
        self.release_storage(addon, StorageState::Available).await?;
        self.tell_attached(addon, format!("{} is within the capacity of its plan again.", addon.name)).await
    }

    /// Every app that has it attached is released with the login that works now.
    async fn release_storage(&self, addon: &Addon, state: StorageState) -> Result<()> {
        let mut tx = self.kernel.change_platform("write down what a database may do").await?;
        tx.set_storage_state(addon.id, state).await?;
        for login in tx.credentials_named(addon.id, RESTRICTED).await? {
            match state {
                StorageState::Restricted => tx.enable_credential(login.id).await?,
                StorageState::Available | StorageState::Over => tx.delete_credential(login.id).await?,
            }
        }
        self.follow(&mut tx, addon.id, Told::Changed).await?;
        tx.commit_quietly("addon.storage_released").await
    }

    /// One sentence in the log of every app that has it attached.
    async fn tell_attached(&self, addon: &Addon, text: String) -> Result<()> {
        for listed in self.kernel.store.attachments_of_addon(addon.id).await? {
            self.kernel.log_addon(listed.attachment.app_id, METRICS, text.clone()).await;
        }
        Ok(())
    }

    /// The line of numbers, in the log of every app that has it attached. Source: `docs/contract/data-services.md`, section 2.5.
    async fn tell_numbers(&self, addon: &Addon, resource: &Resource, sample: &Sample) -> Result<()> {
        for listed in self.kernel.store.attachments_of_addon(addon.id).await? {
            let attachment = listed.attachment;
            let line = numbers(&attachment.name, addon, resource, sample);
            self.kernel.log_addon(attachment.app_id, METRICS, line).await;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares of something")]
fn numbers(attachment: &str, addon: &Addon, resource: &Resource, sample: &Sample) -> String {
    let plan = resource.plan;
    let rate = |rate: Option<f64>| format!("{:.5}", rate.unwrap_or(1.0));
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    format!(
        "source={attachment} addon={} sample#current_transaction={} sample#db_size={}bytes \
         sample#db-size-percentage-used={:.5} sample#tables={} sample#active-connections={} sample#waiting-connections={} \
         sample#max-connections={} sample#connections-percentage-used={:.5} sample#index-cache-hit-rate={} \
         sample#table-cache-hit-rate={}",
        addon.name,
        sample.transaction,
        sample.used.storage_bytes,
        share(sample.used.storage_bytes, plan.storage_bytes),
        sample.used.tables,
        sample.connections,
        sample.waiting,
        plan.connections,
        share(sample.connections, u64::from(plan.connections)),
        rate(sample.index_hit_rate),
        rate(sample.table_hit_rate),
    )
}

/// `7 days`.
fn days(time: Duration) -> String {
    match time.as_secs() / (24 * 60 * 60) {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
