//! What `serve` tells the router, and what the router answers.
//!
//! `serve` connects to the router's socket and sends [`ToRouter::Hello`]; the router answers [`FromRouter::Hello`]
//! and passes duplicates of its listening sockets beside it. Then `serve` sends the whole table with its generation
//! whenever it changed; the router refuses a smaller generation and keeps the table on disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// From `serve` to the router. Each message gets one [`FromRouter`] answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToRouter {
    /// The first message of a connection.
    Hello {
        /// [`crate::VERSION`] of the sender.
        version: u32,
        /// The instance (six letters) that the sender serves.
        instance: String,
    },
    /// The whole route table.
    Routes(Box<RouteTable>),
    /// Forget request records up to and including this number.
    Ack {
        /// Sequence number in the router's spool.
        seq: u64,
    },
    /// Finish requests in flight (up to 30 s) and end.
    Stop,
    /// Another router has the same sockets: take no new clients, and end with the last of those that are here. Since
    /// version 2.
    Retire,
}

/// From the router to `serve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FromRouter {
    /// Answer to [`ToRouter::Hello`]; the listening sockets are beside it, in the order of `listeners`.
    Hello {
        /// The version that both speak: the older one of the two.
        version: u32,
        /// Which program the router runs; another build is another program.
        program: String,
        /// The instance it belongs to.
        instance: String,
        /// Its process id.
        pid: u32,
        /// The generation of the table it uses.
        generation: u64,
        /// The sockets that are passed beside this message.
        listeners: Vec<Listener>,
        /// The name of its spool (the text form of a UUID). Since version 2; before, there was one without a name.
        #[serde(default)]
        spool: Option<String>,
        /// Whether it takes no new clients any more. Since version 2.
        #[serde(default)]
        retiring: bool,
    },
    /// The message was carried out; `generation` is the one in use now.
    Done {
        /// Generation of the table in use.
        generation: u64,
    },
    /// The message was refused.
    Refused {
        /// Why, for the log.
        reason: String,
    },
}

/// A listening socket of the router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// What it is for.
    pub kind: ListenerKind,
    /// The address it is bound to.
    pub address: SocketAddr,
}

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerKind {
    /// The public port: HTTP, TLS, rendezvous.
    Public,
    /// DNS over UDP for dynos and builds.
    DnsUdp,
    /// DNS over TCP for dynos and builds.
    DnsTcp,
}

/// Everything the router needs to route. Sent whole; a smaller generation than the one in use is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Grows with every change, also across restarts of `serve`.
    pub generation: u64,
    /// The platform's domain: an app answers at `NAME.DOMAIN`, the API at `DOMAIN`, `api.DOMAIN` and the others.
    pub domain: String,
    /// Resolvers that DNS questions are forwarded to.
    pub resolvers: Vec<SocketAddr>,
    /// App by host name (lower case, no port), wildcards as `*.example.com`.
    pub hosts: BTreeMap<String, String>,
    /// Apps by id (the text form of `AppId`).
    pub apps: BTreeMap<String, AppRoute>,
    /// Who may use the proxy form; nobody while it is not set up.
    #[serde(default)]
    pub proxy_form: Option<ProxyForm>,
    /// Proxies in front of the router: what they say of the client is passed on.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
}

/// Who may use this server as the proxy of the official client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyForm {
    /// Also clients that come by another address than loopback.
    pub beyond_loopback: bool,
    /// The network of dynos and builds, which never may.
    pub containers: Network,
    /// Says which certificates are in the router's folder: another value makes it read them again.
    pub certificates: String,
}

/// A text is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    /// `192.0.2.0/24`, or an address alone.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| InvalidNetwork)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        if prefix > bits { Err(InvalidNetwork) } else { Ok(Self { address, prefix }) }
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Any address in it.
    pub address: IpAddr,
    /// How many bits all of it have in common.
    pub prefix: u8,
}

impl Network {
    /// Whether an address is in this range; an IPv4 address counts as such in any form.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, bits: u8| {
            let differ = one ^ other;
            differ.checked_shr(u32::from(bits.saturating_sub(self.prefix))).unwrap_or(0) == 0
        };
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

/// How requests of one app are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRoute {
    /// The app's name, for the log.
    pub name: String,
    /// Whether maintenance mode is on (H80).
    pub maintenance: bool,
    /// What there is to route to.
    pub web: Web,
    /// Address of an error page to embed, if the app set one.
    pub error_page_url: Option<String>,
    /// Address of a maintenance page to embed, if the app set one.
    pub maintenance_page_url: Option<String>,
}

/// The web dynos of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Web {
    /// Nothing was deployed (H81).
    Blank,
    /// No web dynos are wanted (H14).
    None,
    /// Web dynos are wanted and none is up yet: requests wait up to 75 s (H20).
    Starting,
    /// Every web dyno has crashed (H10).
    Crashed,
    /// These answer.
    Up {
        /// Dynos that listen.
        dynos: Vec<DynoRoute>,
    },
}

/// One dyno that answers requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoRoute {
    /// Its name, for the log: `web.1`.
    pub name: String,
    /// Its id (text form of `DynoId`), which keys the connection pool.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_network_alone() {
        let network = |text: &str, prefix| Network { address: text.parse().unwrap(), prefix };
        let containers = network("10.7.0.1", 16);
        for (address, inside) in [
            ("10.7.0.1", true),
            ("10.7.255.9", true),
            ("::ffff:10.7.1.1", true),
            ("10.8.0.1", false),
            ("::a07:1", false),
        ] {
            assert_eq!(containers.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(network("10.7.0.1", 0).contains("192.0.2.1".parse().unwrap()));
        assert!(!network("10.7.0.1", 32).contains("10.7.0.2".parse().unwrap()));
        assert!(network("2001:db8::", 32).contains("2001:db8:1::1".parse().unwrap()));
        assert!(!network("2001:db8::", 32).contains("2001:db9::1".parse().unwrap()));
    }

    #[test]
    fn a_hello_of_version_1_is_understood_and_ours_is_understood_there() {
        let old = r#"{"message":"hello","version":1,"program":"0.1.0","instance":"abcdef","pid":7,
            "generation":3,"listeners":[]}"#;
        let FromRouter::Hello { version, spool, retiring, .. } = serde_json::from_str(old).unwrap() else {
            panic!("not a hello")
        };
        assert_eq!((version, spool, retiring), (1, None, false));
        assert!(crate::SPOKEN.contains(&version));
        // Version 1 reads what it knows and passes over the rest: every field it had must still be there.
        let ours = FromRouter::Hello {
            version: 1,
            program: "x".into(),
            instance: "abcdef".into(),
            pid: 7,
            generation: 3,
            listeners: Vec::new(),
            spool: Some("x".into()),
            retiring: false,
        };
        let ours = serde_json::to_value(&ours).unwrap();
        for field in ["message", "version", "program", "instance", "pid", "generation", "listeners"] {
            assert!(ours.get(field).is_some(), "{field}");
        }
    }
}
