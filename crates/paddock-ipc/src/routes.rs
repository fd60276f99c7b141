//! What `serve` tells the router, and what the router answers.
//!
//! `serve` connects to the router's socket and sends [`ToRouter::Hello`]; the router answers [`FromRouter::Hello`]
//! and passes duplicates of its listening sockets beside it. Then `serve` sends the whole table with its generation, and
//! from then on the route of each app that changed, as a change of the generation that the router has. A router that has
//! another one says so and is sent the whole table again. It keeps what it uses on disk.
//!
//! Version 2 knows whole tables alone, and has the hosts of all apps in one list ([`RouteTable::hosts`]).

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
    /// The route of one app as it is now. Since version 3.
    App(Box<AppChange>),
    /// Forget request records up to and including this number.
    Ack {
        /// Sequence number in the router's spool.
        seq: u64,
    },
    /// Finish requests in flight (up to 30 s) and end.
    Stop,
    /// Another router has the same sockets: take no new clients, and end with the last of those that are here.
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
        /// The name of its spool (the text form of a UUID).
        #[serde(default)]
        spool: Option<String>,
        /// Whether it takes no new clients any more.
        #[serde(default)]
        retiring: bool,
    },
    /// The message was carried out; `generation` is the one in use now.
    Done {
        /// Generation of the table in use.
        generation: u64,
    },
    /// The change does not follow what is in use: the whole table is wanted. Since version 3.
    Gap {
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

/// Everything the router needs to route. A smaller generation than the one in use is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Grows with every change, also across restarts of `serve`.
    pub generation: u64,
    /// The platform's domain: an app answers at `NAME.DOMAIN`, the API at `DOMAIN`, `api.DOMAIN` and the others.
    pub domain: String,
    /// Resolvers that DNS questions are forwarded to.
    pub resolvers: Vec<SocketAddr>,
    /// App by host name, as version 2 has it in place of [`AppRoute::hosts`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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

impl RouteTable {
    /// The same, whichever version it was made by: each app has its own hosts.
    #[must_use]
    pub fn with_hosts_of_apps(mut self) -> Self {
        for (host, id) in std::mem::take(&mut self.hosts) {
            if let Some(app) = self.apps.get_mut(&id) {
                app.hosts.push(host);
            }
        }
        self
    }

    /// The same as version 2 has it.
    #[must_use]
    pub fn with_one_list_of_hosts(mut self) -> Self {
        for (id, app) in &mut self.apps {
            let hosts = std::mem::take(&mut app.hosts);
            self.hosts.extend(hosts.into_iter().map(|host| (host, id.clone())));
        }
        self
    }

    /// Takes a change that follows this table; false where it follows another.
    #[must_use]
    pub fn change(&mut self, change: AppChange) -> bool {
        if !change.follows(self.generation) {
            return false;
        }
        self.generation = change.generation;
        match change.route {
            Some(route) => drop(self.apps.insert(change.id, route)),
            None => drop(self.apps.remove(&change.id)),
        }
        true
    }
}

/// One app's route, by which a table becomes the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppChange {
    /// The generation that it follows.
    pub after: u64,
    /// The generation that it leads to.
    pub generation: u64,
    /// The app's id (the text form of `AppId`).
    pub id: String,
    /// How its requests are answered from now on; `None` when it is gone.
    pub route: Option<AppRoute>,
}

impl AppChange {
    /// Whether it leads on from this generation.
    #[must_use]
    pub fn follows(&self, generation: u64) -> bool {
        self.after == generation && self.generation > generation
    }
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
    /// Its host names (lower case, no port), wildcards as `*.example.com`. Of two apps that name a host the
    /// later one has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Whether maintenance mode is on (H80).
    pub maintenance: bool,
    /// What there is to route to.
    pub web: Web,
    /// Address of an error page to embed, if the app set one.
    pub error_page_url: Option<String>,
    /// Address of a maintenance page to embed, if the app set one.
    pub maintenance_page_url: Option<String>,
    /// What its dynos are told of by name. A router that does not know of this passes such questions on.
    #[serde(default, skip_serializing_if = "DataNames::is_empty")]
    pub data: DataNames,
}

/// The names of data services that an app has attached, and who may ask for them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DataNames {
    /// Addresses by the id of what is attached: `ID` of `ID.data.DOMAIN`.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Where the app's dynos are, those of every kind.
    pub askers: Vec<IpAddr>,
}

impl DataNames {
    /// Whether nothing is attached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
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
    fn version_2_is_understood_and_ours_is_understood_there() {
        let old = r#"{"message":"hello","version":2,"program":"0.1.0","instance":"abcdef","pid":7,
            "generation":3,"listeners":[],"spool":"x","retiring":true}"#;
        let FromRouter::Hello { version, spool, retiring, .. } = serde_json::from_str(old).unwrap() else {
            panic!("not a hello")
        };
        assert_eq!((version, spool.as_deref(), retiring), (2, Some("x"), true));
        assert!(crate::SPOKEN.contains(&version));
        // Version 2 reads what it knows and passes over the rest: every field it had must still be there.
        let ours = FromRouter::Hello {
            version: 2,
            program: "x".into(),
            instance: "abcdef".into(),
            pid: 7,
            generation: 3,
            listeners: Vec::new(),
            spool: Some("x".into()),
            retiring: false,
        };
        let ours = serde_json::to_value(&ours).unwrap();
        for field in [
            "message",
            "version",
            "program",
            "instance",
            "pid",
            "generation",
            "listeners",
            "spool",
            "retiring",
        ] {
            assert!(ours.get(field).is_some(), "{field}");
        }
    }

    const TABLE_OF_VERSION_2: &str = r#"{"generation":3,"domain":"x","resolvers":[],
        "hosts":{"*.b.test":"b","a.test":"a","b.test":"b"},
        "apps":{"a":{"name":"one","maintenance":false,"web":{"state":"none"},"error_page_url":null,
                     "maintenance_page_url":null},
                "b":{"name":"two","maintenance":true,"web":{"state":"blank"},"error_page_url":null,
                     "maintenance_page_url":null}},
        "proxy_form":null,"trusted_proxies":[]}"#;

    #[test]
    fn a_table_of_version_2_is_one_of_ours_and_back() {
        let old: RouteTable = serde_json::from_str(TABLE_OF_VERSION_2).unwrap();
        let ours = old.with_hosts_of_apps();
        assert_eq!(ours.apps["a"].hosts, ["a.test"]);
        assert_eq!(ours.apps["b"].hosts, ["*.b.test", "b.test"]);
        assert_eq!(ours.clone().with_hosts_of_apps(), ours);
        let again = serde_json::to_value(ours.with_one_list_of_hosts()).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(TABLE_OF_VERSION_2).unwrap());
    }

    #[test]
    fn names_of_data_services_are_nothing_new_to_who_does_not_know_of_them() {
        let old = r#"{"name":"one","maintenance":false,"web":{"state":"none"},"error_page_url":null,
            "maintenance_page_url":null}"#;
        let route: AppRoute = serde_json::from_str(old).unwrap();
        assert_eq!(route.data, DataNames::default());
        // An app without any is written as it was.
        assert_eq!(
            serde_json::to_value(&route).unwrap(),
            serde_json::from_str::<serde_json::Value>(old).unwrap()
        );
        let addresses = [("id".to_owned(), "10.1.2.3".parse().unwrap())].into();
        let data = DataNames { addresses, askers: vec!["10.1.2.4".parse().unwrap()] };
        let ours = AppRoute { data, ..route };
        let again: AppRoute = serde_json::from_str(&serde_json::to_string(&ours).unwrap()).unwrap();
        assert_eq!(again, ours);
    }

    #[test]
    fn a_change_leads_from_the_table_it_follows_to_the_next() {
        let old: RouteTable = serde_json::from_str(TABLE_OF_VERSION_2).unwrap();
        let before = old.with_hosts_of_apps();
        let mut table = before.clone();
        let route = AppRoute { name: "renamed".into(), ..before.apps["a"].clone() };
        let change = AppChange { after: 3, generation: 7, id: "a".into(), route: Some(route) };
        for (after, generation) in [(2, 7), (4, 7), (3, 3), (3, 2)] {
            assert!(!table.change(AppChange { after, generation, ..change.clone() }), "{after} {generation}");
        }
        assert_eq!(table, before);
        assert!(table.change(change.clone()));
        assert_eq!((table.generation, table.apps["a"].name.as_str()), (7, "renamed"));
        assert!(!table.change(change), "it was taken already");
        assert!(table.change(AppChange { after: 7, generation: 8, id: "a".into(), route: None }));
        assert_eq!(table.apps.keys().collect::<Vec<_>>(), ["b"]);
    }
}
