//! One data server's part of a pass: started, looked at, ended, and its add-ons brought on.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryFutureExt;
use paddock_addons::{Certificate, Secret, ServerAccess, Service};
use paddock_core::addon::{AddonState, PROVISIONING_MAX};
use paddock_core::plan::data_server::{
    DataServerSeen, DataServerStep, SOON, Seen, after_an_end, data_server_step,
};
use paddock_core::{AddonId, ContainerId, UnixMicros, durable};
use paddock_runtime::{ContainerState, Observed, VolumeKind};
use paddock_store::{Addon, Credential, DataServer, DataServerState};
use uuid::Uuid;

use super::attached::Told;
use super::tries::Tries;
use super::{Addons, server};
use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::kernel::reconcile::PassReport;

/// A step that hangs is given up, and tried again.
const STEP_PATIENCE: Duration = Duration::from_secs(30);

/// For so long it is tried in any case, since this server was started: the time before may have been a machine that was off.
const TRIED_MIN: Duration = Duration::from_secs(10 * 60);

/// What is tried again: of a server, a container or an add-on what.
pub(super) type Key = (Uuid, &'static str);

/// What is to be done about a server.
enum Next {
    /// An add-on that cannot be made is given up.
    GiveUp(AddonId),
    /// It goes, with the add-on whose own it is.
    Retire,
    Step(DataServerStep),
}

impl Next {
    fn word(&self) -> &'static str {
        match self {
            Self::GiveUp(_) => "give up",
            Self::Retire => "retire",
            Self::Step(DataServerStep::Start) => "start",
            Self::Step(DataServerStep::Stop) => "stop",
            Self::Step(DataServerStep::Clear) => "clear",
            Self::Step(DataServerStep::Forget) => "forget",
            Self::Step(DataServerStep::Look | DataServerStep::Wait(_)) => "look",
        }
    }
}

/// One server's part of a pass.
pub(super) struct ServerPass<'a> {
    pub(super) addons: &'a Addons,
    pub(super) row: &'a DataServer,
    pub(super) containers: Vec<Observed>,
    pub(super) moving: Vec<Addon>,
    /// Those that are to be enabled or to end, of all add-ons.
    pub(super) logins: &'a HashMap<AddonId, Vec<Credential>>,
    pub(super) answered: Option<ContainerId>,
    /// When this server began to look after them.
    pub(super) since: UnixMicros,
    pub(super) tries: &'a Tries<Key>,
    /// The step that it is at.
    pub(super) doing: &'static str,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) report: PassReport,
    pub(super) answered: Option<ContainerId>,
}

impl ServerPass<'_> {
    pub(super) async fn run(mut self) -> Outcome {
        let result = match tokio::time::timeout(STEP_PATIENCE, self.step()).await {
            Ok(result) => result,
            Err(_) => Err(Error::internal("bring a data server on", "a step took too long")),
        };
        let report = result.unwrap_or_else(|error| {
            let key = (self.row.id.uuid(), self.doing);
            let again = self.failed(&key, "a step of a data server failed", &error);
            PassReport { failed: 1, again_in: Some(again), ..PassReport::default() }
        });
        Outcome { report, answered: self.answered }
    }

    /// How soon to try again what failed. The operator is told of it the first time, and then more and more seldom.
    fn failed(&self, key: &Key, what: &'static str, error: &Error) -> Duration {
        let reason = chain(error);
        let (again, is_worth_a_warning) = self.tries.failed(key, &reason, self.addons.kernel.now());
        let (id, doing) = key;
        match is_worth_a_warning {
            true => {
                tracing::warn!(data_server.id = %self.row.id, %id, doing, error = reason, "{what}, will be tried again");
            }
            false => {
                tracing::debug!(data_server.id = %self.row.id, %id, doing, error = reason, "{what} again");
            }
        }
        again.max(SOON)
    }

    /// The container that the row names; others of this server are what a start left that was cut off.
    fn own(&self) -> Option<&Observed> {
        self.containers.iter().find(|one| Some(one.id) == self.row.container_id)
    }

    /// What is to be done.
    fn next(&self, now: UnixMicros) -> Next {
        let was_tried = now.since(self.since) >= TRIED_MIN;
        let is_hopeless = |addon: &&Addon| {
            addon.state == AddonState::Provisioning
                && was_tried
                && now.since(addon.created_at) >= PROVISIONING_MAX
        };
        if let Some(addon) = self.moving.iter().find(is_hopeless) {
            return Next::GiveUp(addon.id);
        }
        let retiring = self.row.state == DataServerState::Removing;
        let is_own = !self.row.shared && !retiring;
        if is_own && self.moving.iter().any(|addon| addon.state.is_going()) {
            // With its server goes all that it has, whether it answers or not.
            return Next::Retire;
        }
        let container = match self.own().map(|one| one.state) {
            None => Seen::Absent,
            Some(ContainerState::Running) => Seen::Running,
            Some(ContainerState::Unknown | ContainerState::Exited { .. }) => Seen::Broken,
        };
        let next_start_at = self.row.next_start_at.unwrap_or(UnixMicros(0));
        let seen = DataServerSeen { retiring, outdated: self.is_outdated(), container, next_start_at };
        Next::Step(data_server_step(&seen, now))
    }

    /// Whether what runs was started with other settings than its server has now.
    fn is_outdated(&self) -> bool {
        self.own().is_some_and(|one| {
            label::plan_of_data_server(one) != self.row.plan.as_deref().unwrap_or_default()
        })
    }

    async fn step(&mut self) -> Result<PassReport> {
        let now = self.addons.kernel.now();
        if !self.own().is_some_and(|one| one.state == ContainerState::Running) {
            self.answered = None;
        }
        let next = self.next(now);
        if let Next::Step(DataServerStep::Wait(until)) = next {
            return Ok(again_in(until.since(now).max(SOON)));
        }
        self.doing = next.word();
        let key = (self.row.id.uuid(), self.doing);
        if let Some(wait) = self.tries.wait(&key, now) {
            return Ok(again_in(wait));
        }
        self.tries.begin(&key, now);
        let report = self.take(next, &key).await?;
        // A start that was put off has not succeeded; an add-on that fails is tried again by itself.
        if self.doing != "start" || report.failed == 0 {
            self.tries.succeeded(&key);
        }
        Ok(report)
    }

    async fn take(&mut self, next: Next, key: &Key) -> Result<PassReport> {
        for stray in self.containers.iter().filter(|one| Some(one.id) != self.row.container_id) {
            self.remove(stray.id).await?;
        }
        let soon = PassReport { done: 1, again_in: Some(SOON), ..PassReport::default() };
        match next {
            Next::GiveUp(addon) => self.addons.give_up(addon).await.map(|()| soon),
            Next::Retire => self.addons.retire_server(self.row.id).await.map(|()| soon),
            Next::Step(DataServerStep::Start) => match self.start().await {
                Ok(()) => Ok(soon),
                Err(error) => self.put_start_off(key, &error).await,
            },
            Next::Step(DataServerStep::Stop) => self.stop().await,
            Next::Step(DataServerStep::Clear) => {
                // A server that is stopped for its settings ends well, and so does one that goes.
                let was_told = self.is_outdated() || self.row.state == DataServerState::Removing;
                self.clear(was_told).await.map(|()| soon)
            }
            Next::Step(DataServerStep::Forget) => {
                self.forget().await.map(|()| PassReport { done: 1, ..PassReport::default() })
            }
            Next::Step(DataServerStep::Look | DataServerStep::Wait(_)) => self.look().await,
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
        let issued = addons.certificates.issue(address, &addons.names_of(row).await?)?;
        let mut tx = addons.kernel.record("start a data server").await?;
        tx.set_data_server_container(row.id, Some(container)).await?;
        tx.set_data_server_address(row.id, address).await?;
        tx.commit_quietly("data_server.start_recorded").await?;
        let platform = addons.runtime.platform_address();
        let password = addons.kernel.store.data_server_password(row.id).await?;
        let certificate = Certificate { chain: issued.chain, key: Secret::new(issued.key) };
        let plan = addons.server_plan(row, &password, platform, certificate)?;
        let spec = addons.server_spec(row, container, plan);
        tracing::info!(data_server.id = %row.id, service = row.service, version = row.version, %address, "a data server starts");
        durable!("data_server.started", addons.runtime.start(spec).await).map_err(host("start a data server"))
    }

    /// A start that fails counts as an end: the next one waits for as long.
    async fn put_start_off(&self, key: &Key, error: &Error) -> Result<PassReport> {
        let (_, next_start_at) = self.record_end(Duration::ZERO).await?;
        let again = self.failed(key, "a data server could not be started", error);
        let again = again.max(next_start_at.since(self.addons.kernel.now()));
        Ok(PassReport { failed: 1, again_in: Some(again), ..PassReport::default() })
    }

    /// Writes down that it has ended by itself, and when it may be started again: how often in a row that was.
    async fn record_end(&self, ran_for: Duration) -> Result<(u32, UnixMicros)> {
        let kernel = &self.addons.kernel;
        let (ends, next_start_at) = after_an_end(self.row.failed_starts, ran_for, kernel.now());
        let mut tx = kernel.record("note the end of a data server").await?;
        tx.data_server_crashed(self.row.id, ends, next_start_at).await?;
        tx.commit_quietly("data_server.end_recorded").await?;
        Ok((ends, next_start_at))
    }

    async fn stop(&self) -> Result<PassReport> {
        let Some(own) = self.own() else { return Ok(PassReport::default()) };
        let (key, now) = ((own.id.uuid(), "end"), self.addons.kernel.now());
        if let Some(wait) = self.tries.wait(&key, now) {
            return Ok(again_in(wait));
        }
        let stopped =
            durable!("data_server.told_to_end", self.addons.runtime.stop(own.id, server::STOP_GRACE).await);
        stopped.map_err(|error| Error::internal("stop a data server", error))?;
        let again_in = Some(self.tries.not_yet(&key, now));
        Ok(PassReport { done: 1, again_in, ..PassReport::default() })
    }

    /// What has ended is removed. Of one that ended by itself it is written down first when it may be started again; of a start
    /// that failed and left a container it is already.
    async fn clear(&self, was_told: bool) -> Result<()> {
        let Some(own) = self.own() else { return Ok(()) };
        let is_written = self.row.state == DataServerState::Crashed && self.row.updated_at > own.started_at;
        if !was_told && !is_written {
            let (ends, _) = self.record_end(self.addons.kernel.now().since(own.started_at)).await?;
            let (id, state) = (self.row.id, own.state);
            match ends.is_power_of_two() {
                true => {
                    tracing::warn!(data_server.id = %id, ends, ?state, "a data server ended by itself, it is started again");
                }
                false => {
                    tracing::info!(data_server.id = %id, ends, ?state, "a data server ended by itself again");
                }
            }
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
        let (unanswered, now) = ((container.uuid(), "answer"), self.addons.kernel.now());
        if self.answered != Some(container)
            && let Some(wait) = self.tries.wait(&unanswered, now)
        {
            return Ok(again_in(wait));
        }
        let service = self.addons.service_named(&self.row.service)?.clone();
        let password = self.addons.kernel.store.data_server_password(self.row.id).await?;
        let access = self.addons.access(self.row, &password)?;
        if self.answered != Some(container) {
            if let Err(error) = service.ready(&access).await {
                tracing::debug!(data_server.id = %self.row.id, error = chain(&error), "a data server does not answer yet");
                return Ok(again_in(self.tries.not_yet(&unanswered, now)));
            }
            self.tries.succeeded(&unanswered);
            let mut tx = self.addons.kernel.record("write down that a data server answers").await?;
            tx.data_server_answers(self.row.id).await?;
            tx.commit_quietly("data_server.answered").await?;
            self.bring_to_plan(&access).await?;
            self.answered = Some(container);
        }
        self.look_after_addons(&*service, &access).await
    }

    /// What is to be done on a server that answers. An add-on with which it fails holds up no other.
    async fn look_after_addons(
        &mut self,
        service: &dyn Service,
        access: &ServerAccess,
    ) -> Result<PassReport> {
        let mut report = PassReport::default();
        for addon in std::mem::take(&mut self.moving) {
            let key = (addon.id.uuid(), addon.state.as_str());
            let advanced = self.advance(service, access, &addon).map_ok(|()| None);
            self.attempt(&mut report, key, advanced).await;
        }
        if !self.logins.is_empty() {
            for addon in self.addons.kernel.store.addons_on(self.row.id).await? {
                if self.addons.dumps_to_fill.is_closed(addon.id) {
                    continue;
                }
                let Some(moving) = self.logins.get(&addon.id) else { continue };
                let advanced = self.addons.advance_credentials(access, &addon, moving);
                self.attempt(&mut report, (addon.id.uuid(), "logins"), advanced).await;
            }
        }
        Ok(report)
    }

    /// Does a step of an add-on if it is due.
    async fn attempt(
        &self,
        report: &mut PassReport,
        key: Key,
        step: impl Future<Output = Result<Option<Duration>>>,
    ) {
        let now = self.addons.kernel.now();
        let again = match self.tries.wait(&key, now) {
            Some(wait) => Some(wait),
            None => {
                self.tries.begin(&key, now);
                match step.await {
                    Ok(again) => {
                        self.tries.succeeded(&key);
                        report.done += 1;
                        again
                    }
                    Err(error) => {
                        report.failed += 1;
                        Some(self.failed(&key, "a step of an add-on failed", &error))
                    }
                }
            }
        };
        report.again_in = [report.again_in, again].into_iter().flatten().min();
    }

    /// What was begun when server or platform ended is brought to its end: a plan that was changed, a database that was
    /// emptied.
    async fn bring_to_plan(&self, access: &ServerAccess) -> Result<()> {
        for addon in self.addons.kernel.store.addons_on(self.row.id).await? {
            let is_meant = addon.state == AddonState::Provisioned;
            if is_meant && !self.addons.dumps_to_fill.is_closed(addon.id) {
                self.addons.bring_to_its_plan(access, &addon).await?;
                self.addons.mend_addresses(addon.id, Told::Changed).await?;
            }
        }
        Ok(())
    }

    async fn advance(&self, service: &dyn Service, access: &ServerAccess, addon: &Addon) -> Result<()> {
        let resource = self.addons.resource(addon).await?;
        let failed = |error| Error::internal("do a step of an add-on", error);
        match addon.state {
            AddonState::Provisioning => {
                durable!("addon.made_on_server", service.provision(access, &resource).await)
                    .map_err(failed)?;
                self.addons.record_provisioned(addon.id).await
            }
            AddonState::Deprovisioning | AddonState::Deprovisioned => {
                durable!("addon.removed_on_server", service.deprovision(access, &resource).await)
                    .map_err(failed)?;
                self.addons.record_deprovisioned(addon.id).await
            }
            AddonState::Provisioned => Ok(()),
        }
    }
}

/// Nothing to do until then.
fn again_in(wait: Duration) -> PassReport {
    PassReport { again_in: Some(wait), ..PassReport::default() }
}
