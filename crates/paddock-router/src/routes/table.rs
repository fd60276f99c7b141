//! The route table in use: compiled from what `serve` sent, swapped whole, kept on disk.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use paddock_ipc::routes::{self, AppRoute, Network, ProxyForm, RouteTable};
use tokio::sync::watch;
use uuid::Uuid;

use crate::dyno::Dyno;

/// Where requests of a host go.
pub(crate) enum Destination {
    /// To `serve`.
    Platform,
    /// To an app.
    App(Arc<App>),
    /// Nobody has this host.
    Unknown,
}

/// A table made for looking up.
pub(crate) struct Table {
    /// 0 before the first table came.
    pub(crate) generation: u64,
    pub(crate) resolvers: Vec<SocketAddr>,
    pub(crate) proxy_form: Option<ProxyForm>,
    pub(crate) trusted_proxies: Vec<Network>,
    domain: String,
    hosts: HashMap<String, Arc<App>>,
    apps: HashMap<String, Arc<App>>,
}

/// An app as the table has it. What outlives the table (counters, dynos) is handed from one table to the next.
pub(crate) struct App {
    /// The id as the table writes it.
    pub(crate) id: String,
    /// The id as records carry it.
    pub(crate) key: Uuid,
    pub(crate) maintenance: bool,
    pub(crate) web: Web,
    pub(crate) error_page_url: Option<String>,
    pub(crate) maintenance_page_url: Option<String>,
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
    /// The dynos that are up; empty in every other state.
    pub(crate) fn dynos(&self) -> &[Arc<Dyno>] {
        match &self.web {
            Web::Up(dynos) => dynos,
            _ => &[],
        }
    }
}

impl Table {
    fn empty() -> Self {
        Self {
            generation: 0,
            resolvers: Vec::new(),
            proxy_form: None,
            trusted_proxies: Vec::new(),
            domain: String::new(),
            hosts: HashMap::new(),
            apps: HashMap::new(),
        }
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

    /// Every dyno that is up.
    pub(crate) fn dynos(&self) -> impl Iterator<Item = &Arc<Dyno>> {
        self.apps.values().flat_map(|app| app.dynos())
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

/// Compiles what was sent; dynos and counters that were known before are the same objects again.
fn compile(sent: &RouteTable, before: &Table) -> Table {
    let apps: HashMap<String, Arc<App>> = sent
        .apps
        .iter()
        .map(|(id, route)| (id.clone(), Arc::new(compile_app(id, route, before.app(id)))))
        .collect();
    let hosts =
        sent.hosts.iter().filter_map(|(host, id)| Some((host.to_ascii_lowercase(), apps.get(id)?.clone())));
    Table {
        generation: sent.generation,
        resolvers: sent.resolvers.clone(),
        proxy_form: sent.proxy_form.clone(),
        trusted_proxies: sent.trusted_proxies.clone(),
        domain: sent.domain.to_ascii_lowercase(),
        hosts: hosts.collect(),
        apps,
    }
}

fn compile_app(id: &str, route: &AppRoute, before: Option<&Arc<App>>) -> App {
    let known = before.map_or(&[][..], |app| app.dynos());
    let dyno = |sent: &routes::DynoRoute| {
        let same = known.iter().find(|dyno| dyno.id == sent.id && dyno.address == sent.address);
        same.cloned().unwrap_or_else(|| Arc::new(Dyno::new(sent)))
    };
    App {
        id: id.to_owned(),
        key: Uuid::try_parse(id).unwrap_or_default(),
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
        in_flight: before.map(|app| app.in_flight.clone()).unwrap_or_default(),
    }
}

/// A table was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableRefused {
    /// `serve` is behind.
    #[error("generation {sent} is older than {current}, which is in use")]
    Older { sent: u64, current: u64 },
    /// The table could not be kept, so it is not used: after a restart the router would fall back behind it.
    #[error("could not keep the table in {path}: {source}")]
    Disk { path: PathBuf, source: io::Error },
}

/// The table in use, where it is kept, and who waits for the next one.
pub(crate) struct Routes {
    path: PathBuf,
    table: ArcSwap<Table>,
    changed: watch::Sender<u64>,
    /// Held from the check of the generation to the swap.
    installing: Mutex<()>,
}

impl Routes {
    /// Begins with the table that was kept in `folder`, if one was and it can be read.
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join("routes.json");
        let table = match read_table(&path) {
            Ok(Some(kept)) => compile(&kept, &Table::empty()),
            Ok(None) => Table::empty(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the kept route table cannot be read: waiting for serve");
                Table::empty()
            }
        };
        Self {
            path,
            changed: watch::Sender::new(table.generation),
            table: ArcSwap::from_pointee(table),
            installing: Mutex::new(()),
        }
    }

    /// The table in use.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Learns of every table from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Keeps and uses a table. Blocks on the disk. Returns the generation in use.
    pub(crate) fn install(&self, sent: &RouteTable) -> Result<u64, TableRefused> {
        self.swap(sent, || {
            write_table(&self.path, sent)
                .map_err(|source| TableRefused::Disk { path: self.path.clone(), source })
        })
    }

    /// Uses a table that another router keeps. Returns the generation in use.
    pub(crate) fn follow(&self, sent: &RouteTable) -> Result<u64, TableRefused> {
        self.swap(sent, || Ok(()))
    }

    fn swap(
        &self,
        sent: &RouteTable,
        keep: impl FnOnce() -> Result<(), TableRefused>,
    ) -> Result<u64, TableRefused> {
        let _installing = self.installing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.table.load_full();
        if sent.generation < before.generation {
            return Err(TableRefused::Older { sent: sent.generation, current: before.generation });
        }
        keep()?;
        let table = compile(sent, &before);
        self.table.store(Arc::new(table));
        self.changed.send_replace(sent.generation);
        forget_vanished(&before, &self.table.load());
        Ok(sent.generation)
    }
}

/// Closes the unused connections of dynos that are gone. Requests in flight hold theirs and go on.
fn forget_vanished(before: &Table, now: &Table) {
    for (id, app) in &before.apps {
        let still = now.app(id).map_or(&[][..], |app| app.dynos());
        for dyno in app.dynos() {
            if !still.iter().any(|other| Arc::ptr_eq(other, dyno)) {
                dyno.retire();
            }
        }
    }
}

fn read_table(path: &Path) -> io::Result<Option<RouteTable>> {
    match std::fs::read(path) {
        Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Written beside and renamed: whoever is killed leaves the old table or the new one. Not synced: after a power cut
/// its dynos are gone as well, and `serve` sends a table before anything answers.
fn write_table(path: &Path, table: &RouteTable) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    std::fs::write(&beside, serde_json::to_vec(table)?)?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn table(hosts: &[(&str, &str)]) -> RouteTable {
        let app = |name: &str| AppRoute {
            name: name.to_owned(),
            maintenance: false,
            web: routes::Web::Blank,
            error_page_url: None,
            maintenance_page_url: None,
        };
        RouteTable {
            generation: 7,
            domain: "Paddock.Example".into(),
            resolvers: Vec::new(),
            hosts: hosts.iter().map(|(host, id)| ((*host).to_owned(), (*id).to_owned())).collect(),
            apps: hosts.iter().map(|(_, id)| ((*id).to_owned(), app(id))).collect::<BTreeMap<_, _>>(),
            proxy_form: None,
            trusted_proxies: Vec::new(),
        }
    }

    #[test]
    fn hosts_find_their_app_or_the_platform() {
        let sent = table(&[
            ("a.paddock.example", "a"),
            ("*.x.org", "x"),
            ("*.deep.x.org", "deep"),
            ("y.x.org", "y"),
        ]);
        let table = compile(&sent, &Table::empty());
        let found = |host: &str| match table.destination(host) {
            Destination::Platform => "platform".to_owned(),
            Destination::App(app) => app.id.clone(),
            Destination::Unknown => "unknown".to_owned(),
        };
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
            assert_eq!(found(host), expected, "{host}");
        }
    }

    #[test]
    fn an_older_table_is_refused_and_the_newest_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let routes = Routes::open(folder.path());
        assert_eq!(routes.current().generation, 0);
        let mut sent = table(&[("a.paddock.example", "a")]);
        assert_eq!(routes.install(&sent).unwrap(), 7);
        assert_eq!(routes.install(&sent).unwrap(), 7);
        sent.generation = 6;
        assert!(matches!(routes.install(&sent), Err(TableRefused::Older { sent: 6, current: 7 })));
        let again = Routes::open(folder.path());
        assert_eq!(again.current().generation, 7);
        assert!(matches!(again.current().destination("a.paddock.example"), Destination::App(_)));
    }
}
