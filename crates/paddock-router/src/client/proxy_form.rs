//! The proxy form: `CONNECT` for a fixed list of names, always ended in a TLS of our own, never dialled out.
//!
//! What is inside a tunnel is a connection like any other, but that it can reach the
//! platform alone. Dynos and builds are refused by the address they come from; that is the only use of it.

use std::net::SocketAddr;

use paddock_core::proxy_form;
use paddock_ipc::routes::ProxyForm;

use crate::connection::Connection;
use crate::exchange::page::{self, Page};
use crate::routes::host::host_name;

/// The answer to a `CONNECT` for `target` that is refused.
pub(crate) fn refused(connection: &Connection, target: &[u8]) -> Option<Page> {
    let name = std::str::from_utf8(target).ok().and_then(host_name);
    let refused = match &connection.router.routes.current().proxy_form {
        _ if connection.is_tunnelled => Some(Refused::Nested),
        Some(form) => refused_by(form, connection.peer, connection.local),
        None => Some(Refused::NotSetUp),
    };
    let refused = refused.or_else(|| match name {
        Some(name) if proxy_form::host(&name).is_some() => None,
        Some(name) => Some(Refused::Stranger(name.into_owned())),
        None => Some(Refused::Stranger("This target".into())),
    })?;
    Some(page::refusal(refused.status(), &refused.sentence()))
}

/// Why a `CONNECT` is refused.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    NotSetUp,
    Nested,
    Container,
    BeyondLoopback,
    /// The name is not on the list.
    Stranger(String),
}

impl Refused {
    fn status(&self) -> u16 {
        match self {
            Self::NotSetUp => 404,
            Self::Nested => 400,
            Self::Container | Self::BeyondLoopback | Self::Stranger(_) => 403,
        }
    }

    fn sentence(&self) -> String {
        let sentence = match self {
            Self::NotSetUp => {
                "The proxy form is not set up on this server: run `paddockd env --proxy --data DIR` there."
            }
            Self::Nested => "A CONNECT inside a CONNECT is not answered.",
            Self::Container => "The proxy form is not for dynos and builds.",
            Self::BeyondLoopback => {
                "The proxy form is off on this address: start the server with --proxy-form to have it here."
            }
            Self::Stranger(name) => {
                return format!(
                    "{name} is no host of this platform, and nothing is passed on to others: this proxy is for the \
                     Heroku CLI and git alone."
                );
            }
        };
        sentence.to_owned()
    }
}

fn refused_by(form: &ProxyForm, peer: SocketAddr, local: SocketAddr) -> Option<Refused> {
    if form.containers.contains(peer.ip()) || form.containers.contains(local.ip()) {
        Some(Refused::Container)
    } else if !form.beyond_loopback && !local.ip().to_canonical().is_loopback() {
        Some(Refused::BeyondLoopback)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use paddock_ipc::routes::Network;

    use super::*;

    #[test]
    fn dynos_never_and_others_by_loopback_unless_it_is_switched_on() {
        let form = |beyond_loopback| ProxyForm {
            beyond_loopback,
            containers: Network { address: "10.7.0.1".parse().unwrap(), prefix: 16 },
            certificates: String::new(),
        };
        for (beyond_loopback, peer, local, expected) in [
            (false, "127.0.0.1:9", "127.0.0.1:5080", None),
            (false, "[::1]:9", "[::1]:5080", None),
            (false, "[::ffff:127.0.0.1]:9", "[::ffff:127.0.0.1]:5080", None),
            (false, "192.0.2.9:9", "192.0.2.1:5080", Some(Refused::BeyondLoopback)),
            (true, "192.0.2.9:9", "192.0.2.1:5080", None),
            // By the bridge, by another address of the machine, and in the form of a socket of both families.
            (true, "10.7.0.5:9", "10.7.0.1:5080", Some(Refused::Container)),
            (true, "10.7.0.5:9", "192.0.2.1:5080", Some(Refused::Container)),
            (true, "[::ffff:10.7.0.5]:9", "[::ffff:192.0.2.1]:5080", Some(Refused::Container)),
            (true, "192.0.2.9:9", "10.7.0.1:5080", Some(Refused::Container)),
        ] {
            let refused = refused_by(&form(beyond_loopback), peer.parse().unwrap(), local.parse().unwrap());
            assert_eq!(refused, expected, "{peer} to {local}");
        }
    }
}
