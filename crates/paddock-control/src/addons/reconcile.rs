//! Keeps data servers running, and makes of add-ons what is wanted of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use paddock_addons::{Certificate, Secret, ServerAccess};
use paddock_core::addon::AddonState;
use paddock_core::plan::data_server::{DataServerSeen, DataServerStep, Seen, after_an_end, data_server_step};
use paddock_core::{AddonId, ContainerId, DataServerId, UnixMicros, durable};
use paddock_runtime::{ContainerState, Observed, VolumeKind};
use paddock_store::{Addon, Certified, Credential, DataServer, DataServerState, StorageState};
use uuid::Uuid;

use super::attached::{credential_of, described};
use super::{Addons, server};
use crate::Result;
use crate::deploy::release_steps::release_new_addon;
use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::wake::{Wake, Wakes};

/// How soon a server that was just started is looked at again.
const SOON: Duration = Duration::from_millis(50);
/// How soon after a step that failed.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);
/// A step that hangs is given up, and tried again.
const STEP_PATIENCE: Duration = Duration::from_secs(30);

/// Which apps are released with the address of an add-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mend {
    /// Those that have another one.
    IfOther,
    /// All that have it attached: they could not reach it before.
    Always,
}

/// Keeps servers and add-ons true.
pub(crate) struct AddonReconciler {
    addons: Arc<Addons>,
    /// The container of each server that has answered.
    answered: HashMap<DataServerId, ContainerId>,
    told_reach: bool,
}

impl AddonReconciler {
    #[must_use]
    pub(crate) fn new(addons: Arc<Addons>) -> Self {
        addons.kernel.data_ready.expect();
        Self { addons, answered: HashMap::new(), told_reach: false }
    }
}

#[async_trait]
impl Reconciler for AddonReconciler {
    const NAME: &'static str = "addons";
    const INTERVAL: Duration = Duration::from_secs(10);

    fn wake(wakes: &Wakes) -> Option<&Wake> {
        Some(&wakes.addons)
    }

    async fn pass(&mut self) -> Result<PassReport> {
        let store = &self.addons.kernel.store;
        let servers = store.data_servers().await?;
        if servers.is_empty() && self.told_reach {
            self.addons.kernel.data_ready.tell(BTreeSet::new());
            return Ok(PassReport::default());
        }
        self.addons.set_reach(None).await?;
        self.told_reach = true;
        let observed = self.addons.runtime.observe().await;
        let observed =
            observed.map_err(|error| Error::internal("look at the containers of data servers", error))?;
        let mut containers = server::Containers::new();
        for one in observed {
            if let Some(id) = label::data_server_of(&one) {
                containers.entry(id).or_default().push(one);
            }
        }
        let mut moving: HashMap<DataServerId, Vec<Addon>> = HashMap::new();
        for addon in store.addons_in_motion().await? {
            if let Some(server) = addon.data_server_id {
                moving.entry(server).or_default().push(addon);
            }
        }
        let mut logins: HashMap<AddonId, Vec<Credential>> = HashMap::new();
        for login in store.credentials_in_motion().await? {
            logins.entry(login.addon_id).or_default().push(login);
        }
        self.answered.retain(|id, _| servers.iter().any(|row| row.id == *id));
        let passes = servers.iter().map(|row| ServerPass {
            addons: &self.addons,
            row,
            containers: containers.remove(&row.id).unwrap_or_default(),
            moving: moving.remove(&row.id).unwrap_or_default(),
            logins: &logins,
            answered: self.answered.get(&row.id).copied(),
        });
        let mut report = PassReport::default();
        for (row, outcome) in servers.iter().zip(join_all(passes.map(ServerPass::run)).await) {
            match outcome.answered {
                Some(container) => drop(self.answered.insert(row.id, container)),
                None => drop(self.answered.remove(&row.id)),
            }
            report.done += outcome.report.done;
            report.failed += outcome.report.failed;
            report.again_in = [report.again_in, outcome.report.again_in].into_iter().flatten().min();
        }
        self.tell_who_is_ready(&servers).await?;
        self.tell_who_answers();
        Ok(report)
    }
}

impl AddonReconciler {
    /// Whose dynos are to wait for a server that does not answer.
    async fn tell_who_is_ready(&self, servers: &[DataServer]) -> Result<()> {
        let kernel = &self.addons.kernel;
        let away = |id: &DataServerId| !self.answered.contains_key(id);
        let mut apps = BTreeSet::new();
        for addon in self.addons.dumps_to_fill.being_filled() {
            let attached = kernel.store.attachments_of_addon(addon).await?;
            apps.extend(attached.into_iter().map(|listed| listed.attachment.app_id));
        }
        if servers.iter().any(|row| away(&row.id)) {
            let relying = kernel.store.relying_apps().await?;
            apps.extend(relying.into_iter().filter(|(_, server)| away(server)).map(|(app, _)| app));
        }
        kernel.data_ready.tell(apps);
        Ok(())
    }
}

impl AddonReconciler {
    fn tell_who_answers(&self) {
        let now: BTreeSet<DataServerId> = self.answered.keys().copied().collect();
        let mut told = self.addons.answering.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != now {
            *told = now;
            self.addons.kernel.wakes.addons.wake();
        }
    }
}

/// One server's part of a pass.
struct ServerPass<'a> {
    addons: &'a Addons,
    row: &'a DataServer,
    containers: Vec<Observed>,
    moving: Vec<Addon>,
    /// Those that are to be enabled or to end, of all add-ons.
    logins: &'a HashMap<AddonId, Vec<Credential>>,
    answered: Option<ContainerId>,
}

/// What came of it.
struct Outcome {
    report: PassReport,
    answered: Option<ContainerId>,
}

impl ServerPass<'_> {
    async fn run(mut self) -> Outcome {
        let result = match tokio::time::timeout(STEP_PATIENCE, self.step()).await {
            Ok(result) => result,
            Err(_) => Err(Error::internal("bring a data server on", "a step took too long")),
        };
        let report = result.unwrap_or_else(|error| {
            tracing::warn!(data_server.id = %self.row.id, error = chain(&error), "a step of a data server failed, will be tried again");
            PassReport { failed: 1, again_in: Some(AFTER_A_FAILURE), ..PassReport::default() }
        });
        Outcome { report, answered: self.answered }
    }

    /// The container that the row names; others of this server are what a start left that was cut off.
    fn own(&self) -> Option<&Observed> {
        self.containers.iter().find(|one| Some(one.id) == self.row.container_id)
    }

    async fn step(&mut self) -> Result<PassReport> {
        for stray in self.containers.iter().filter(|one| Some(one.id) != self.row.container_id) {
            self.remove(stray.id).await?;
        }
        let retiring = self.row.state == DataServerState::Removing;
        let is_own = !self.row.shared && !retiring;
        if is_own && self.moving.iter().any(|addon| addon.state == AddonState::Deprovisioning) {
            // With its server goes all that it has, whether it answers or not.
            self.addons.retire_server(self.row.id).await?;
            return Ok(PassReport { done: 1, again_in: Some(SOON), ..PassReport::default() });
        }
        let container = match self.own().map(|one| one.state) {
            None => Seen::Absent,
            Some(ContainerState::Running) => Seen::Running,
            Some(ContainerState::Unknown | ContainerState::Exited { .. }) => Seen::Broken,
        };
        let outdated = self.own().is_some_and(|one| {
            label::plan_of_data_server(one) != self.row.plan.as_deref().unwrap_or_default()
        });
        let seen = DataServerSeen {
            retiring,
            outdated,
            container,
            next_start_at: self.row.next_start_at.unwrap_or(UnixMicros(0)),
        };
        let now = self.addons.kernel.now();
        if container != Seen::Running {
            self.answered = None;
        }
        let soon = PassReport { done: 1, again_in: Some(SOON), ..PassReport::default() };
        match data_server_step(&seen, now) {
            DataServerStep::Start => self.start().await.map(|()| soon),
            DataServerStep::Wait(until) => {
                let wait = Duration::from_micros(u64::try_from(until.0 - now.0).unwrap_or(0));
                Ok(PassReport { again_in: Some(wait.max(SOON)), ..PassReport::default() })
            }
            DataServerStep::Stop => self.stop().await.map(|()| soon),
            // A server that is stopped for its settings ends well, and so does one that goes.
            DataServerStep::Clear => self.clear(outdated || retiring).await.map(|()| soon),
            DataServerStep::Forget => {
                self.forget().await.map(|()| PassReport { done: 1, ..PassReport::default() })
            }
            DataServerStep::Look => self.look().await,
        }
    }

    async fn start(&self) -> Result<()> {
        let (addons, row) = (self.addons, self.row);
        let host = |doing: &'static str| move |error| Error::internal(doing, error);
        let volume = VolumeKind::Lasting { limit_bytes: None };
        let made =
            durable!("data_server.volume_made", addons.runtime.make_volume(row.volume_id, volume).await);
        made.map_err(host("make a data server's volume"))?;
        let given = durable!(
            "data_server.address_given",
            addons.runtime.address_of(server::service_id(row.id)).await
        );
        let address = given.map_err(host("give a data server an address"))?;
        let container = ContainerId::from_uuid(Uuid::now_v7());
        let issued = addons.certificates.issue(address)?;
        let mut tx = addons.kernel.record("start a data server").await?;
        tx.set_data_server_container(row.id, Some(container)).await?;
        let tls = Certified { certificate: issued.chain.clone(), key: issued.key.clone() };
        tx.set_data_server_address(row.id, address, &tls).await?;
        tx.commit_quietly("data_server.start_recorded").await?;
        let platform = addons.runtime.platform_address();
        let password = addons.kernel.store.data_server_password(row.id).await?;
        let certificate = Certificate { chain: issued.chain, key: Secret::new(issued.key) };
        let plan = addons.server_plan(row, &password, platform, certificate)?;
        let spec = addons.server_spec(row, container, plan);
        tracing::info!(data_server.id = %row.id, service = row.service, version = row.version, %address, "a data server starts");
        durable!("data_server.started", addons.runtime.start(spec).await).map_err(host("start a data server"))
    }

    async fn stop(&self) -> Result<()> {
        let Some(own) = self.own() else { return Ok(()) };
        let stopped =
            durable!("data_server.told_to_end", self.addons.runtime.stop(own.id, server::STOP_GRACE).await);
        stopped.map_err(|error| Error::internal("stop a data server", error))
    }

    /// What has ended is removed. Of one that ended by itself it is written down first when it may be started again.
    async fn clear(&self, was_told: bool) -> Result<()> {
        let Some(own) = self.own() else { return Ok(()) };
        let kernel = &self.addons.kernel;
        let now = kernel.now();
        let ran_for = Duration::from_micros(u64::try_from(now.0 - own.started_at.0).unwrap_or(0));
        if !was_told {
            let (ends, next_start_at) = after_an_end(self.row.failed_starts, ran_for, now);
            let mut tx = kernel.record("clear a data server away").await?;
            tx.data_server_crashed(self.row.id, ends, next_start_at).await?;
            tx.commit_quietly("data_server.end_recorded").await?;
            tracing::warn!(data_server.id = %self.row.id, ends, state = ?own.state, "a data server ended by itself, it is started again");
        }
        self.remove(own.id).await
    }

    async fn remove(&self, container: ContainerId) -> Result<()> {
        let removed = durable!("data_server.container_removed", self.addons.runtime.remove(container).await);
        removed.map_err(|error| Error::internal("remove the container of a data server", error))
    }

    /// Nothing runs any more: the data goes, then what names it.
    async fn forget(&self) -> Result<()> {
        let (addons, row) = (self.addons, self.row);
        let host = |error| Error::internal("remove what a data server had", error);
        durable!("data_server.volume_removed", addons.runtime.remove_volume(row.volume_id).await)
            .map_err(host)?;
        durable!(
            "data_server.address_released",
            addons.runtime.release_address(server::service_id(row.id)).await
        )
        .map_err(host)?;
        let mut tx = addons.kernel.record("forget a data server").await?;
        for addon in &self.moving {
            tx.delete_addon(addon.id).await?;
        }
        tx.delete_data_server(row.id).await?;
        tx.commit_quietly("data_server.forgotten").await
    }

    /// It runs: does it answer, and what is to be done on it?
    async fn look(&mut self) -> Result<PassReport> {
        let Some(container) = self.row.container_id else { return Ok(PassReport::default()) };
        let service = self.addons.service_named(&self.row.service)?.clone();
        let password = self.addons.kernel.store.data_server_password(self.row.id).await?;
        let access = self.addons.access(self.row, &password)?;
        if self.answered != Some(container) {
            if let Err(error) = service.ready(&access).await {
                tracing::debug!(data_server.id = %self.row.id, error = chain(&error), "a data server does not answer yet");
                return Ok(PassReport { again_in: Some(SOON), ..PassReport::default() });
            }
            let mut tx = self.addons.kernel.record("write down that a data server answers").await?;
            tx.data_server_answers(self.row.id).await?;
            tx.commit_quietly("data_server.answered").await?;
            self.bring_to_plan(&access).await?;
            self.answered = Some(container);
        }
        let mut report = PassReport::default();
        for addon in std::mem::take(&mut self.moving) {
            self.advance(&*service, &access, &addon).await?;
            report.done += 1;
        }
        if !self.logins.is_empty() {
            for addon in self.addons.kernel.store.addons_on(self.row.id).await? {
                if self.addons.dumps_to_fill.is_closed(addon.id) {
                    continue;
                }
                let Some(moving) = self.logins.get(&addon.id) else { continue };
                let again = self.addons.advance_credentials(&access, &addon, moving).await?;
                report.again_in = [report.again_in, again].into_iter().flatten().min();
            }
        }
        Ok(report)
    }

    /// What was begun when server or platform ended is brought to its end: a plan that was changed, a database that was
    /// emptied.
    async fn bring_to_plan(&self, access: &ServerAccess) -> Result<()> {
        for addon in self.addons.kernel.store.addons_on(self.row.id).await? {
            let is_meant = addon.state == AddonState::Provisioned;
            if is_meant && !self.addons.dumps_to_fill.is_closed(addon.id) {
                self.addons.bring_to_its_plan(access, &addon).await?;
                self.addons.mend_addresses(&addon, Mend::IfOther).await?;
            }
        }
        Ok(())
    }

    async fn advance(
        &self,
        service: &dyn paddock_addons::Service,
        access: &ServerAccess,
        addon: &Addon,
    ) -> Result<()> {
        let resource = self.addons.resource(addon).await?;
        let failed = |error| Error::internal("do a step of an add-on", error);
        match addon.state {
            AddonState::Provisioning => {
                durable!("addon.made_on_server", service.provision(access, &resource).await)
                    .map_err(failed)?;
                self.addons.record_provisioned(addon).await
            }
            AddonState::Deprovisioning => {
                durable!("addon.removed_on_server", service.deprovision(access, &resource).await)
                    .map_err(failed)?;
                self.addons.record_deprovisioned(addon.id).await
            }
            AddonState::Provisioned | AddonState::Deprovisioned => Ok(()),
        }
    }
}

impl Addons {
    /// An add-on can be used: every app that has it attached is released with its config vars.
    async fn record_provisioned(&self, addon: &Addon) -> Result<()> {
        let mut given = Vec::new();
        for listed in self.kernel.store.attachments_of_addon(addon.id).await? {
            let attachment = listed.attachment;
            let credential = credential_of(attachment.namespace.as_deref());
            let vars = self.vars(addon, &attachment.name, credential).await?;
            given.push((attachment, vars));
        }
        given.sort_by_key(|(one, _)| (one.app_id, one.id));
        let mut tx = self.kernel.change_platform("write down that an add-on is there").await?;
        let Some(now) = tx.addon(addon.id).await? else { return Ok(()) };
        if !now.state.may_become(AddonState::Provisioned) {
            return Ok(());
        }
        tx.set_addon_state(addon.id, AddonState::Provisioned).await?;
        for login in tx.credentials_of_addon(addon.id).await? {
            tx.enable_credential(login.id).await?;
        }
        for (attachment, vars) in given {
            let Some(app) = self.kernel.store.app(attachment.app_id).await? else { continue };
            tx.set_attachment_vars(attachment.id, &vars).await?;
            let description = described("Attach", &attachment.name, &addon.name);
            tx.say(app.id, description.clone());
            let all = tx.attachment_vars_of_app(app.id).await?;
            release_new_addon(&mut tx, app.id, all, description, app.owner_id).await?;
        }
        tx.commit_quietly("addon.provisioned").await
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
        if addon.storage_state == StorageState::Restricted {
            self.restrict_on_server(access, addon, &resource).await?;
        }
        Ok(())
    }

    /// Apps that have an add-on under another address than it has now are released with the right one: after a restore on
    /// another machine, say.
    pub(super) async fn mend_addresses(&self, addon: &Addon, mend: Mend) -> Result<()> {
        let store = &self.kernel.store;
        for listed in store.attachments_of_addon(addon.id).await? {
            let attachment = listed.attachment;
            let right =
                self.vars(addon, &attachment.name, credential_of(attachment.namespace.as_deref())).await?;
            if right.is_empty()
                || (mend == Mend::IfOther && store.attachment_vars(attachment.id).await? == right)
            {
                continue;
            }
            let Some(app) = store.app(attachment.app_id).await? else { continue };
            let mut tx = self.kernel.change_app(app.id, "mend the address of an add-on").await?;
            tx.set_attachment_vars(attachment.id, &right).await?;
            let description = format!("Update {} by {}", attachment.name, addon.service);
            tx.say(app.id, description.clone());
            self.release_as_attached(&mut tx, app.id, description, app.owner_id).await?;
            tx.commit_quietly("addon.address_mended").await?;
        }
        Ok(())
    }

    async fn record_deprovisioned(&self, id: AddonId) -> Result<()> {
        let mut tx = self.kernel.record("forget an add-on").await?;
        tx.delete_addon(id).await?;
        tx.commit_quietly("addon.forgotten").await
    }

    async fn retire_server(&self, id: DataServerId) -> Result<()> {
        let mut tx = self.kernel.record("let a data server go").await?;
        tx.set_data_server_state(id, DataServerState::Removing).await?;
        tx.commit_quietly("data_server.retired").await
    }
}
