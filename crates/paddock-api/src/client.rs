//! Who is on the other end, and by which address this server was reached.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The other end of a connection, as the router said. Never a reason for trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address; none for the router's own connections.
    pub(crate) address: Option<SocketAddr>,
    /// Whether it came over TLS.
    pub(crate) tls: bool,
}

impl Client {
    /// The address that failed logins are counted for.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self { address: None, tls: false }))
    }
}

/// Scheme and host that the client used: the beginning of every URL it is given back. The host is the client's own
/// word, and goes to nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    tls: bool,
    host: String,
}

impl Origin {
    /// `http://localhost:5000` + `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.tls { "https" } else { "http" }, self.host)
    }

    /// `localhost:5000`, with the port even where it is the scheme's own: rendezvous URLs need it.
    pub(crate) fn host_and_port(&self) -> String {
        let has_port = self.host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match (has_port, self.tls) {
            (true, _) => self.host.clone(),
            (false, true) => format!("{}:443", self.host),
            (false, false) => format!("{}:80", self.host),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Ok(client) = Client::from_request_parts(parts, state).await;
        let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        // A host has letters, digits and a few marks; anything else would end up in a URL that we hand out.
        let host =
            host.filter(|host| host.bytes().all(|c| c.is_ascii_alphanumeric() || b".-:[]_".contains(&c)));
        Ok(Self { tls: client.tls, host: host.unwrap_or("localhost").to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn a_port_is_always_named_for_rendezvous() {
        let origin = |tls, host: &str| Origin { tls, host: host.to_owned() };
        assert_eq!(origin(false, "localhost:5000").host_and_port(), "localhost:5000");
        assert_eq!(origin(true, "api.example").host_and_port(), "api.example:443");
        assert_eq!(origin(false, "[::1]").host_and_port(), "[::1]:80");
        assert_eq!(origin(true, "a:1").url("/x"), "https://a:1/x");
    }
}
