//! Who may reach whom: the dynos of an app the servers of what it has attached, and what moves the data of a database, in the
//! name of the app that it is billed to.

use std::collections::BTreeSet;

use paddock_core::{DataServerId, Tenant, durable};
use paddock_runtime::Reach;

use super::Addons;
use super::server::{PORT, service_id};
use crate::Result;
use crate::kernel::error::{Error, chain};

impl Addons {
    /// Tells the runtime who may reach whom, and `besides` whoever is about to. What fails is told by the reconciler.
    pub(super) async fn tell_reach(&self, besides: Option<(Tenant, DataServerId)>) {
        if let Err(error) = self.set_reach(besides).await {
            tracing::warn!(
                error = chain(&error),
                "could not tell who may reach which data server, will be tried again"
            );
        }
    }

    /// The same, for the reconciler.
    pub(super) async fn set_reach(&self, besides: Option<(Tenant, DataServerId)>) -> Result<()> {
        // One at a time, each from what is written: the last one tells the newest.
        let _one = self.reaching.lock().await;
        let rows = self.kernel.store.attached_tenants().await?;
        let billed = self.kernel.store.billed_tenants().await?;
        let reach: BTreeSet<_> = rows
            .into_iter()
            .chain(billed)
            .chain(besides)
            .map(|(tenant, server)| Reach { tenant, service: service_id(server), port: PORT })
            .collect();
        let told = durable!("data_server.reach_told", self.runtime.set_reach(reach).await);
        told.map_err(|error| Error::internal("tell the runtime who may reach which data server", error))
    }
}
