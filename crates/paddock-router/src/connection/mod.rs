//! A client's connection, as everything that answers on it sees it.

pub(crate) mod clients;
pub(crate) mod forwarded;
pub(crate) mod router;
pub(crate) mod socket;
pub(crate) mod stop;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod trusted_proxy;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use paddock_http1::Fields;
use rustls::ProtocolVersion;
use tokio::net::TcpStream;

use crate::connection::clients::Place;
use crate::connection::forwarded::Forwarded;
use crate::connection::router::Router;

/// What is known of a client's connection.
pub(crate) struct Connection {
    pub(crate) router: Arc<Router>,
    pub(crate) socket: Arc<TcpStream>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// `tls1.2` or `tls1.3`; `None` without TLS.
    pub(crate) tls_version: Option<&'static str>,
    /// It is inside a `CONNECT` of the proxy form, which leads to the platform alone.
    pub(crate) is_tunnelled: bool,
    /// Its place among the clients, shared with what it becomes.
    pub(crate) place: Arc<Place>,
    /// The client took nothing for too long.
    pub(crate) stalled: AtomicBool,
}

impl Connection {
    /// The connection inside a tunnel on this one.
    pub(crate) fn tunnelled(outer: &Self, tls_version: &'static str) -> Self {
        let (router, socket) = (outer.router.clone(), outer.socket.clone());
        let (peer, local, place) = (outer.peer, outer.local, outer.place.clone());
        let (tls_version, stalled) = (Some(tls_version), AtomicBool::new(false));
        Self { router, socket, peer, local, tls_version, is_tunnelled: true, place, stalled }
    }

    /// Where a request on it came from.
    pub(crate) fn forwarded(&self, fields: &Fields) -> Forwarded {
        let forwarded = Forwarded::new(fields, self.peer, self.local.port(), self.tls_version.is_some());
        trusted_proxy::believed(forwarded, fields, self.peer, &self.router.routes.current().trusted_proxies)
    }

    /// Whether an answer that is given now is the last one: there are too many clients, or the router leaves and its
    /// client comes back to another.
    pub(crate) fn is_last(&self) -> bool {
        self.place.is_surplus || self.router.stop.is_leaving()
    }

    /// How long it may stay without a request.
    pub(crate) fn idle(&self) -> Duration {
        let limits = &self.router.config.limits;
        if self.place.is_surplus { limits.surplus_idle } else { limits.client_idle }
    }
}

/// The version of a connection's TLS, as records name it.
pub(crate) fn tls_version(session: &rustls::ServerConnection) -> &'static str {
    match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "tls1.3",
        _ => "tls1.2",
    }
}
