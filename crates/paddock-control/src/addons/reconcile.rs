//! Keeps data servers running, and makes of add-ons what is wanted of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use paddock_core::{AddonId, ContainerId, DataServerId, UnixMicros};
use paddock_store::{Addon, Credential, DataServer};

use super::server_pass::{Key, ServerPass};
use super::tries::Tries;
use super::{Addons, server};
use crate::Result;
use crate::kernel::error::Error;
use crate::kernel::label;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::wake::{Wake, Wakes};

/// Keeps servers and add-ons true.
pub(crate) struct AddonReconciler {
    addons: Arc<Addons>,
    /// The container of each server that has answered.
    answered: HashMap<DataServerId, ContainerId>,
    told_reach: bool,
    tries: Tries<Key>,
    since: UnixMicros,
}

impl AddonReconciler {
    #[must_use]
    pub(crate) fn new(addons: Arc<Addons>) -> Self {
        addons.kernel.data_ready.expect();
        let since = addons.kernel.now();
        Self { addons, answered: HashMap::new(), told_reach: false, tries: Tries::default(), since }
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
        self.tries.keep(|(id, _)| {
            servers
                .iter()
                .any(|row| row.id.uuid() == *id || row.container_id.is_some_and(|of| of.uuid() == *id))
                || moving.values().flatten().any(|addon| addon.id.uuid() == *id)
                || logins.keys().any(|addon| addon.uuid() == *id)
        });
        let passes = servers.iter().map(|row| ServerPass {
            addons: &self.addons,
            row,
            containers: containers.remove(&row.id).unwrap_or_default(),
            moving: moving.remove(&row.id).unwrap_or_default(),
            logins: &logins,
            answered: self.answered.get(&row.id).copied(),
            tries: &self.tries,
            since: self.since,
            doing: "look",
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

    fn tell_who_answers(&self) {
        let now: BTreeSet<DataServerId> = self.answered.keys().copied().collect();
        let mut told = self.addons.answering.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != now {
            *told = now;
            self.addons.kernel.wakes.addons.wake();
        }
    }
}
