//! The proxy form as the control plane sees it: who may use it, and by which address its clients reach this server.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use paddock_ipc::routes::ProxyForm;

use crate::routing::Routing;

/// A proxy form whose certificates are in the router's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedProxyForm {
    /// What the router is told.
    pub route: ProxyForm,
    /// Addresses of this server that its clients were told, the newest last; without those of loopback.
    pub addresses: Vec<IpAddr>,
}

/// The proxy form that is offered now.
#[derive(Debug, Default)]
pub(crate) struct Offer(Mutex<Option<OfferedProxyForm>>);

impl Offer {
    pub(crate) fn route(&self) -> Option<ProxyForm> {
        self.get(|offered| offered.route.clone())
    }

    fn get<T>(&self, part: impl FnOnce(&OfferedProxyForm) -> T) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(part)
    }
}

impl Routing {
    /// Offers the proxy form; returns once the router answers it, if there is one.
    pub async fn offer_proxy_form(&self, offered: OfferedProxyForm) {
        *self.publisher.proxy_form.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(offered);
        self.publisher.publish_all().await;
    }

    /// The address of this server to hand out to a client of the proxy form that came to `local`: what it is told
    /// goes past its proxy.
    #[must_use]
    pub fn address_for_proxied(&self, local: SocketAddr) -> SocketAddr {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let told = self.publisher.proxy_form.get(|offered| offered.addresses.clone()).unwrap_or_default();
        if local.ip().is_loopback() || told.contains(&local.ip()) {
            return local;
        }
        // Whoever came by an address that nobody was told came through somebody who translates it.
        SocketAddr::new(told.last().copied().unwrap_or(local.ip()), local.port())
    }
}
