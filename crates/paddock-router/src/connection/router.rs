//! What the parts of a router share.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use paddock_ipc::routes::Listener;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::config::RouterConfig;
use crate::connection::clients::Clients;
use crate::connection::stop::Stop;
use crate::connection::tls::Certificates;
use crate::record::Records;
use crate::routes::Routes;
use crate::routes::table::Destination;

/// What the parts of a router share.
pub(crate) struct Router {
    pub(crate) config: RouterConfig,
    pub(crate) routes: Routes,
    pub(crate) records: Records,
    pub(crate) certificates: Certificates,
    /// For the proxy form: names that are not ours.
    pub(crate) proxy_certificates: Certificates,
    pub(crate) stop: Stop,
    pub(crate) clients: Arc<Clients>,
    /// Every client connection and tunnel: a stop waits for them.
    pub(crate) tasks: TaskTracker,
    /// What reads the listening sockets.
    pub(crate) listening: TaskTracker,
    pub(crate) runtime: Handle,
    /// Duplicates of the listening sockets, for `serve`; none once the router is to stop.
    pub(crate) listeners: Mutex<Vec<(Listener, OwnedFd)>>,
}

impl Router {
    /// Where requests of a host go. Before the first table ever only the local names are known: the others wait for
    /// it. `None` when it does not come.
    pub(crate) async fn destination(&self, host: &str) -> Option<Destination> {
        if let Some(known) = self.look_up(host) {
            return Some(known);
        }
        let mut changed = self.routes.subscribe();
        if let Some(known) = self.look_up(host) {
            return Some(known);
        }
        let _ = tokio::time::timeout(self.config.limits.serve_wait, changed.changed()).await;
        self.look_up(host)
    }

    fn look_up(&self, host: &str) -> Option<Destination> {
        let table = self.routes.current();
        match table.destination(host) {
            Destination::Unknown if !table.is_known() => None,
            destination => Some(destination),
        }
    }

    /// Reads certificates again where files changed. Blocks on the disk.
    pub(crate) fn reload_certificates(&self) {
        self.certificates.reload();
        self.proxy_certificates.reload();
    }

    /// Duplicates of the listening sockets and what each is for.
    pub(crate) fn duplicate_listeners(&self) -> std::io::Result<Vec<(Listener, OwnedFd)>> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().map(|(listener, socket)| Ok((listener.clone(), socket.try_clone()?))).collect()
    }

    /// Takes no new clients: once this returns, whoever else has the listening sockets is alone with them. Blocks.
    pub(crate) fn retire(&self) {
        self.stop.retire();
        self.close_listeners();
        self.runtime.block_on(self.listening.wait());
    }

    pub(crate) fn close_listeners(&self) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
