//! Who is on the other end, and by which address this server was reached.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use paddock_control::ControlConfig;
use paddock_core::proxy_form;
use paddock_ipc::proxy_header::{Connection, Head, NoHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::Api;

/// The other end of a connection, as the router said. Never a reason for trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address; none for the router's own connections.
    pub(crate) address: Option<SocketAddr>,
    /// The address of ours that it came to.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: bool,
}

impl Client {
    /// Reads the header that a connection from the router begins with, and nothing after it.
    ///
    /// # Errors
    /// When it does not begin with one.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let none = |NoHeader| io::Error::new(io::ErrorKind::InvalidData, "no PROXY v2 header");
        let mut head = [0; Head::BYTES];
        stream.read_exact(&mut head).await?;
        let head = Head::parse(&head).map_err(none)?;
        let mut rest = vec![0; head.rest()];
        stream.read_exact(&mut rest).await?;
        let Connection { addresses, tls } = head.connection(&rest).map_err(none)?;
        let (address, local) = addresses.unzip();
        Ok(Self { address, local, tls })
    }

    /// The address that failed logins are counted for.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self { address: None, local: None, tls: false }))
    }
}

/// Scheme and host that the client used: the beginning of every URL it is given back. The host is the client's own
/// word, and goes to nobody else. A client of the proxy form is given this server's real address instead: what opens
/// such a URL does not use its proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    tls: bool,
    host: String,
    is_proxied: bool,
}

impl Origin {
    /// `http://localhost:5000` + `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.tls { "https" } else { "http" }, self.host)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(host: &str) -> Self {
        Self { tls: false, host: host.to_owned(), is_proxied: false }
    }

    /// The same by TLS, which is at the same port: for clients that take nothing else.
    pub(crate) fn https_url(&self, path: &str, config: &ControlConfig) -> String {
        let at_own_port = !self.tls && config.listen.port() == 80;
        match at_own_port {
            true => format!("https://{}{path}", self.host_and_port()),
            false => format!("https://{}{path}", self.host),
        }
    }

    /// Whether the official CLI takes this name for `HEROKU_HOST` in the plain form.
    pub(crate) fn is_known_to_cli(&self) -> bool {
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name);
        !self.is_proxied && matches!(name, "localhost" | "127.0.0.1")
    }

    /// The host of git remotes, as the client knows it.
    pub(crate) fn git_host(&self, config: &ControlConfig) -> String {
        if self.is_proxied { format!("git.{}", proxy_form::DOMAIN) } else { config.git_host() }
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

/// The host of the proxy form that a request is for, if it came that way: the router lets nothing else by these names.
pub(crate) fn proxied_host(headers: &HeaderMap) -> Option<proxy_form::Host> {
    let host = headers.get(http::header::HOST)?.to_str().ok()?;
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    proxy_form::host(&name.to_ascii_lowercase())
}

impl FromRequestParts<Arc<Api>> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Infallible> {
        let Ok(client) = Client::from_request_parts(parts, api).await;
        if let (Some(_), Some(local)) = (proxied_host(&parts.headers), client.local) {
            let host = api.control.routing.address_for_proxied(local).to_string();
            return Ok(Self { tls: true, host, is_proxied: true });
        }
        let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        // A host has letters, digits and a few marks; anything else would end up in a URL that we hand out.
        let host =
            host.filter(|host| host.bytes().all(|c| c.is_ascii_alphanumeric() || b".-:[]_".contains(&c)));
        let host = host.unwrap_or("localhost").to_owned();
        Ok(Self { tls: client.tls, host, is_proxied: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_begins_with_the_word_of_the_router() {
        let (peer, local) = ("192.0.2.7:4660".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap());
        let read = |bytes: &[u8]| {
            let mut bytes = bytes;
            let read = futures_util::FutureExt::now_or_never(Client::read(&mut bytes));
            (read.expect("a slice never waits"), bytes.to_vec())
        };
        let mut sent = paddock_ipc::proxy_header::encode(peer, local, Some("TLSv1.3"));
        sent.extend_from_slice(b"GET ");
        let (client, rest) = read(&sent);
        let client = client.unwrap();
        assert_eq!((client.ip(), client.local, client.tls), (Some(peer.ip()), Some(local), true));
        assert_eq!(rest, b"GET ", "nothing of the client is taken");
        let refused = read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").0.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(&[]).0.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_port_is_always_named_for_rendezvous() {
        let origin = |tls, host: &str| Origin { tls, host: host.to_owned(), is_proxied: false };
        assert_eq!(origin(false, "localhost:5000").host_and_port(), "localhost:5000");
        assert_eq!(origin(true, "api.example").host_and_port(), "api.example:443");
        assert_eq!(origin(false, "[::1]").host_and_port(), "[::1]:80");
        assert_eq!(origin(true, "a:1").url("/x"), "https://a:1/x");
    }
}
