//! The route table, made for looking up. Each change makes another one, which shares with the one before it what is
//! the same.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use paddock_ipc::routes::{self, AppChange, AppRoute, DataNames, Network, ProxyForm, RouteTable};
use uuid::Uuid;

use super::map::SharedMap;
use crate::dyno::Dyno;

/// Where requests of a host go.
pub(crate) enum Destination {
    /// To `serve`.
    Platform,
    App(Arc<App>),
    /// Nobody has this host.
    Unknown,
}

/// A table made for looking up.
#[derive(Clone, Default)]
pub(crate) struct Table {
    /// 0 before the first table came.
    pub(crate) generation: u64,
    pub(crate) resolvers: Vec<SocketAddr>,
    pub(crate) proxy_form: Option<ProxyForm>,
    pub(crate) trusted_proxies: Vec<Network>,
    domain: String,
    hosts: SharedMap<Arc<App>>,
    apps: SharedMap<Arc<App>>,
    /// By the addresses of their dynos, of what has names of data services.
    askers: SharedMap<Arc<App>>,
}

/// An app as the table has it. What outlives the table (counters, dynos) is handed from one table to the next.
pub(crate) struct App {
    /// The id as the table writes it.
    pub(crate) id: String,
    /// The id as records carry it.
    pub(crate) key: Uuid,
    /// In lower case.
    hosts: Vec<String>,
    pub(crate) maintenance: bool,
    pub(crate) web: Web,
    pub(crate) error_page_url: Option<String>,
    pub(crate) maintenance_page_url: Option<String>,
    pub(crate) data: DataNames,
    pub(crate) in_flight: Arc<AtomicUsize>,
}

/// The web dynos of an app.
pub(crate) enum Web {
    Blank,
    None,
    Starting,
    Crashed,
    Up(Vec<Arc<Dyno>>),
}

impl App {
    fn new(id: &str, route: &AppRoute, before: Option<&Arc<Self>>) -> Self {
        let known = before.map_or(&[][..], |app| app.dynos());
        let dyno = |sent: &routes::DynoRoute| {
            let same = known.iter().find(|dyno| dyno.id == sent.id && dyno.address == sent.address);
            same.cloned().unwrap_or_else(|| Arc::new(Dyno::new(sent)))
        };
        Self {
            id: id.to_owned(),
            key: Uuid::try_parse(id).unwrap_or_default(),
            hosts: route.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            maintenance: route.maintenance,
            web: match &route.web {
                routes::Web::Blank => Web::Blank,
                routes::Web::None => Web::None,
                routes::Web::Starting => Web::Starting,
                routes::Web::Crashed => Web::Crashed,
                // An empty list is a formation between two states, not a crash: wait for the next table.
                routes::Web::Up { dynos } if dynos.is_empty() => Web::Starting,
                routes::Web::Up { dynos } => Web::Up(dynos.iter().map(dyno).collect()),
            },
            error_page_url: route.error_page_url.clone(),
            maintenance_page_url: route.maintenance_page_url.clone(),
            data: route.data.clone(),
            in_flight: before.map(|app| app.in_flight.clone()).unwrap_or_default(),
        }
    }

    /// The dynos that are up; empty in every other state.
    pub(crate) fn dynos(&self) -> &[Arc<Dyno>] {
        match &self.web {
            Web::Up(dynos) => dynos,
            _ => &[],
        }
    }
}

impl Table {
    /// Compiles what was sent; dynos and counters that were known before are the same objects again.
    pub(crate) fn new(sent: &RouteTable, before: &Self) -> Self {
        let mut table = Self {
            generation: sent.generation,
            resolvers: sent.resolvers.clone(),
            proxy_form: sent.proxy_form.clone(),
            trusted_proxies: sent.trusted_proxies.clone(),
            domain: sent.domain.to_ascii_lowercase(),
            hosts: SharedMap::default(),
            apps: SharedMap::default(),
            askers: SharedMap::default(),
        };
        for (id, route) in &sent.apps {
            table.put(App::new(id, route, before.app(id)));
        }
        table
    }

    /// The table that a change leads to.
    pub(crate) fn with(&self, change: &AppChange) -> Self {
        let mut table = Self { generation: change.generation, ..self.clone() };
        let before = self.app(&change.id);
        if let Some(before) = before {
            table.take_out(before);
        }
        if let Some(route) = &change.route {
            table.put(App::new(&change.id, route, before));
        }
        table
    }

    fn put(&mut self, app: App) {
        let app = Arc::new(app);
        for host in &app.hosts {
            self.hosts.insert(host, app.clone());
        }
        for address in &app.data.askers {
            self.askers.insert(&address.to_string(), app.clone());
        }
        self.apps.insert(&app.id, app.clone());
    }

    fn take_out(&mut self, app: &Arc<App>) {
        for host in &app.hosts {
            // Another app may have it by now.
            if self.hosts.get(host).is_some_and(|has| Arc::ptr_eq(has, app)) {
                self.hosts.remove(host);
            }
        }
        for address in app.data.askers.iter().map(IpAddr::to_string) {
            if self.askers.get(&address).is_some_and(|has| Arc::ptr_eq(has, app)) {
                self.askers.remove(&address);
            }
        }
        self.apps.remove(&app.id);
    }

    /// Where requests of `host` (lower case, no port) go. An exact name goes before a wildcard, and the wildcard
    /// with more labels before the one with fewer.
    pub(crate) fn destination(&self, host: &str) -> Destination {
        let host = host.strip_suffix('.').unwrap_or(host);
        if self.is_platform(host) {
            return Destination::Platform;
        }
        if let Some(app) = self.hosts.get(host) {
            return Destination::App(app.clone());
        }
        let mut rest = host;
        let mut wildcard = String::with_capacity(host.len() + 1);
        while let Some((_, parent)) = rest.split_once('.') {
            wildcard.clear();
            wildcard.push_str("*.");
            wildcard.push_str(parent);
            if let Some(app) = self.hosts.get(&wildcard) {
                return Destination::App(app.clone());
            }
            rest = parent;
        }
        Destination::Unknown
    }

    /// Whether a table ever came: without one nobody knows which hosts are whose.
    pub(crate) fn is_known(&self) -> bool {
        !self.domain.is_empty()
    }

    /// The app as this table has it; `None` when it is gone.
    pub(crate) fn app(&self, id: &str) -> Option<&Arc<App>> {
        self.apps.get(id)
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.iter().map(|(_, app)| app)
    }

    /// Every dyno that is up.
    pub(crate) fn dynos(&self) -> impl Iterator<Item = &Arc<Dyno>> {
        self.apps().flat_map(|app| app.dynos())
    }

    /// The app that a dyno at this address is of, if it has names of data services.
    pub(crate) fn asker(&self, address: IpAddr) -> Option<&Arc<App>> {
        self.askers.get(&address.to_canonical().to_string())
    }

    /// What a name of a data service (lower case) is of: `ID` of `ID.data.DOMAIN`.
    pub(crate) fn id_of_data(&self, name: &str) -> Option<String> {
        let id =
            name.strip_suffix(self.domain.as_str()).filter(|_| self.is_known())?.strip_suffix(".data.")?;
        Some(id.to_owned())
    }

    fn is_platform(&self, host: &str) -> bool {
        // No app has an address for its host: by one, clients mean this server.
        if host == "localhost" || host.parse::<IpAddr>().is_ok() {
            return true;
        }
        let Some(prefix) = host.strip_suffix(self.domain.as_str()) else { return false };
        !self.domain.is_empty() && matches!(prefix, "" | "api." | "git." | "data." | "registry.")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use paddock_ipc::routes::DynoRoute;
    use proptest::prelude::*;

    use super::*;

    fn route(hosts: &[&str], dynos: &[u16]) -> AppRoute {
        let dyno = |port: &u16| DynoRoute {
            name: format!("web.{port}"),
            id: port.to_string(),
            address: ([127, 0, 0, 1], *port).into(),
        };
        AppRoute {
            name: "one".into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            maintenance: false,
            web: routes::Web::Up { dynos: dynos.iter().map(dyno).collect() },
            error_page_url: None,
            maintenance_page_url: None,
            data: Default::default(),
        }
    }

    fn table(apps: &[(&str, AppRoute)]) -> RouteTable {
        RouteTable {
            generation: 7,
            domain: "Paddock.Example".into(),
            resolvers: Vec::new(),
            hosts: BTreeMap::new(),
            apps: apps.iter().map(|(id, route)| ((*id).to_owned(), route.clone())).collect(),
            proxy_form: None,
            trusted_proxies: Vec::new(),
        }
    }

    fn found(table: &Table, host: &str) -> String {
        match table.destination(host) {
            Destination::Platform => "platform".to_owned(),
            Destination::App(app) => app.id.clone(),
            Destination::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn hosts_find_their_app_or_the_platform() {
        let sent = table(&[
            ("a", route(&["A.paddock.example"], &[])),
            ("x", route(&["*.x.org"], &[])),
            ("deep", route(&["*.deep.x.org"], &[])),
            ("y", route(&["y.x.org"], &[])),
        ]);
        let table = Table::new(&sent, &Table::default());
        for (host, expected) in [
            ("paddock.example", "platform"),
            ("api.paddock.example", "platform"),
            ("registry.paddock.example", "platform"),
            ("localhost", "platform"),
            ("127.0.0.1", "platform"),
            ("192.0.2.7", "platform"),
            ("2001:db8::7", "platform"),
            ("192.0.2.7.x.org", "x"),
            ("a.paddock.example", "a"),
            ("a.paddock.example.", "a"),
            ("b.paddock.example", "unknown"),
            ("xapi.paddock.example", "unknown"),
            ("z.x.org", "x"),
            ("y.x.org", "y"),
            ("1.deep.x.org", "deep"),
            ("1.2.x.org", "x"),
            ("x.org", "unknown"),
        ] {
            assert_eq!(found(&table, host), expected, "{host}");
        }
    }

    #[test]
    fn what_outlives_a_change_is_the_same_object_afterwards() {
        let before = Table::new(
            &table(&[("a", route(&["a.test"], &[1, 2])), ("b", route(&["b.test"], &[3]))]),
            &Table::default(),
        );
        let change =
            AppChange { after: 7, generation: 8, id: "a".into(), route: Some(route(&["a.test"], &[2, 4])) };
        let now = before.with(&change);
        let dynos = |table: &Table, id: &str| table.app(id).unwrap().dynos().to_vec();
        assert!(Arc::ptr_eq(&dynos(&now, "a")[0], &dynos(&before, "a")[1]));
        assert_eq!(dynos(&now, "a")[1].id, "4");
        assert!(Arc::ptr_eq(now.app("b").unwrap(), before.app("b").unwrap()));
        let in_flight = |table: &Table| table.app("a").unwrap().in_flight.clone();
        assert!(Arc::ptr_eq(&in_flight(&now), &in_flight(&before)));
        assert_eq!((before.generation, now.generation), (7, 8));
        assert_eq!(dynos(&before, "a").len(), 2, "who looks at the table before sees that one");
    }

    const APPS: [&str; 3] = ["a", "b", "c"];
    const HOSTS: [&str; 4] = ["one.test", "two.test", "*.test", "three.test"];

    /// Which of the apps has each host.
    type Owners = [Option<usize>; 4];

    fn route_of(owners: &Owners, app: usize) -> AppRoute {
        let hosts = (0..4).filter(|host| owners[*host] == Some(app)).map(|host| HOSTS[host]);
        route(&hosts.collect::<Vec<_>>(), &[])
    }

    fn table_of(owners: &Owners) -> RouteTable {
        table(&[0, 1, 2].map(|app| (APPS[app], route_of(owners, app))))
    }

    proptest! {
        /// Hosts go from app to app; each app that lost or got one is sent, in any order.
        #[test]
        fn changes_one_by_one_lead_where_the_whole_table_does(
            moves in prop::collection::vec((0..4usize, prop::option::of(0..3usize), any::<bool>()), 1..20),
        ) {
            let mut owners: Owners = [Some(0), Some(1), None, None];
            let mut now = Table::new(&table_of(&owners), &Table::default());
            for (host, owner, is_loser_first) in moves {
                let before = std::mem::replace(&mut owners[host], owner);
                let mut sent: Vec<usize> = before.into_iter().chain(owner).collect();
                if !is_loser_first {
                    sent.reverse();
                }
                for app in sent {
                    let route = Some(route_of(&owners, app));
                    let after = now.generation;
                    let change = AppChange { after, generation: after + 1, id: APPS[app].into(), route };
                    now = now.with(&change);
                }
                let expected = Table::new(&table_of(&owners), &Table::default());
                for host in HOSTS.iter().copied().chain(["any.test", "deep.any.test", "org"]) {
                    prop_assert_eq!(found(&now, host), found(&expected, host), "{}", host);
                }
            }
            for id in APPS {
                let change =
                    AppChange { after: now.generation, generation: now.generation + 1, id: id.into(), route: None };
                now = now.with(&change);
                prop_assert!(now.app(id).is_none());
            }
            prop_assert_eq!(now.hosts.iter().count(), 0);
        }
    }
}
