//! What is known of apps: the routes in use, where they are kept, and who waits for the next ones.

pub(crate) mod host;
mod kept;
mod map;
pub(crate) mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use paddock_ipc::routes::{AppChange, RouteTable};
use tokio::sync::watch;

use self::kept::Kept;
use self::table::{App, Table};

/// Routes that were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// `serve` is behind.
    #[error("generation {sent} is older than {current}, which is in use")]
    Older { sent: u64, current: u64 },
    /// The change follows another table than the one in use.
    #[error("a change of generation {after} does not follow {current}, which is in use")]
    Gap { after: u64, current: u64 },
    /// They could not be kept, so they are not used: after a restart the router would fall back behind them.
    #[error("could not keep the routes beside {path}: {source}")]
    Disk { path: PathBuf, source: io::Error },
}

/// Who keeps accepted tables on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// We do.
    Us,
    /// The router that took our place.
    Another,
}

/// The routes in use. A request looks at one table from beginning to end and waits for nobody.
pub(crate) struct Routes {
    table: ArcSwap<Table>,
    changed: watch::Sender<u64>,
    /// Held from the check of the generation to the swap.
    kept: Mutex<Kept>,
}

impl Routes {
    /// Begins with what was kept in `folder`, if anything was and can be read.
    pub(crate) fn open(folder: &Path) -> Self {
        let (kept, sent) = Kept::open(folder);
        let table = sent.map_or_else(Table::default, |sent| Table::new(&sent, &Table::default()));
        let changed = watch::Sender::new(table.generation);
        Self { table: ArcSwap::from_pointee(table), changed, kept: Mutex::new(kept) }
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Learns of every table from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Keeps and uses a whole table. Blocks on the disk. Returns the generation in use.
    pub(crate) fn install(&self, sent: RouteTable, keeper: Keeper) -> Result<u64, NotTaken> {
        let sent = sent.with_hosts_of_apps();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.table.load_full();
        if sent.generation < before.generation {
            return Err(NotTaken::Older { sent: sent.generation, current: before.generation });
        }
        if keeper == Keeper::Us {
            kept.put(&sent).map_err(|source| failed(&kept, source))?;
        }
        let now = Arc::new(Table::new(&sent, &before));
        self.use_from_now_on(now.clone());
        for app in before.apps() {
            forget_vanished(app, now.app(&app.id));
        }
        Ok(now.generation)
    }

    /// Keeps and uses the table that a change leads to. Blocks on the disk. Returns the generation in use.
    pub(crate) fn change(&self, change: &AppChange, keeper: Keeper) -> Result<u64, NotTaken> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.table.load_full();
        if !change.follows(before.generation) {
            return Err(NotTaken::Gap { after: change.after, current: before.generation });
        }
        if keeper == Keeper::Us {
            kept.append(change).map_err(|source| failed(&kept, source))?;
        }
        let now = Arc::new(before.with(change));
        self.use_from_now_on(now.clone());
        if let Some(app) = before.app(&change.id) {
            forget_vanished(app, now.app(&change.id));
        }
        if keeper == Keeper::Us
            && kept.is_outgrown()
            && let Err(error) = kept.compact()
        {
            tracing::warn!(%error, "the journal of routes goes on: no table could be made of it");
        }
        Ok(now.generation)
    }

    fn use_from_now_on(&self, table: Arc<Table>) {
        let generation = table.generation;
        self.table.store(table);
        self.changed.send_replace(generation);
    }
}

fn failed(kept: &Kept, source: io::Error) -> NotTaken {
    NotTaken::Disk { path: kept.path().to_owned(), source }
}

/// Closes the unused connections of dynos that are gone. Requests in flight hold theirs and go on.
fn forget_vanished(before: &App, now: Option<&Arc<App>>) {
    let still = now.map_or(&[][..], |app| app.dynos());
    for dyno in before.dynos() {
        if !still.iter().any(|other| Arc::ptr_eq(other, dyno)) {
            dyno.retire();
        }
    }
}

#[cfg(test)]
mod tests {
    use paddock_ipc::routes::{AppRoute, Web};

    use super::table::Destination;
    use super::*;

    fn route(hosts: &[&str]) -> AppRoute {
        AppRoute {
            name: "one".into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            maintenance: false,
            web: Web::Blank,
            error_page_url: None,
            maintenance_page_url: None,
            data: Default::default(),
        }
    }

    fn table(generation: u64) -> RouteTable {
        RouteTable {
            generation,
            domain: "paddock.example".into(),
            resolvers: Vec::new(),
            hosts: Default::default(),
            apps: [("a".to_owned(), route(&["a.paddock.example"]))].into(),
            proxy_form: None,
            trusted_proxies: Vec::new(),
        }
    }

    fn knows(routes: &Routes, host: &str) -> bool {
        matches!(routes.current().destination(host), Destination::App(_))
    }

    #[test]
    fn an_older_table_is_refused_and_the_newest_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let routes = Routes::open(folder.path());
        assert_eq!(routes.current().generation, 0);
        assert_eq!(routes.install(table(7), Keeper::Us).unwrap(), 7);
        assert_eq!(routes.install(table(7), Keeper::Us).unwrap(), 7);
        let older = routes.install(table(6), Keeper::Us);
        assert!(matches!(older, Err(NotTaken::Older { sent: 6, current: 7 })));
        let again = Routes::open(folder.path());
        assert_eq!(again.current().generation, 7);
        assert!(knows(&again, "a.paddock.example"));
    }

    #[test]
    fn a_change_is_used_and_kept_and_one_that_does_not_follow_is_neither() {
        let folder = tempfile::tempdir().unwrap();
        let routes = Routes::open(folder.path());
        let change = |after, host: &str| AppChange {
            after,
            generation: after + 2,
            id: "b".into(),
            route: Some(route(&[host])),
        };
        let early = routes.change(&change(7, "b.test"), Keeper::Us);
        assert!(matches!(early, Err(NotTaken::Gap { after: 7, current: 0 })), "without any table");
        routes.install(table(7), Keeper::Us).unwrap();
        assert_eq!(routes.change(&change(7, "b.test"), Keeper::Us).unwrap(), 9);
        let gap = routes.change(&change(7, "c.test"), Keeper::Us);
        assert!(matches!(gap, Err(NotTaken::Gap { after: 7, current: 9 })));
        for routes in [&routes, &Routes::open(folder.path())] {
            assert_eq!(routes.current().generation, 9);
            assert!(
                knows(routes, "b.test") && knows(routes, "a.paddock.example") && !knows(routes, "c.test")
            );
        }

        // What another router keeps is used here and leaves the folder as it is.
        assert_eq!(routes.change(&change(9, "c.test"), Keeper::Another).unwrap(), 11);
        assert!(knows(&routes, "c.test") && !knows(&routes, "b.test"));
        assert_eq!(Routes::open(folder.path()).current().generation, 9);
    }

    #[test]
    fn a_journal_that_has_outgrown_its_table_is_left_to_the_router_that_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let routes = Routes::open(folder.path());
        routes.install(table(1), Keeper::Us).unwrap();
        // Nothing can be written beside the table.
        let beside = paddock_files::beside(&folder.path().join("routes.json"));
        std::fs::create_dir(&beside).unwrap();
        let journal = folder.path().join("routes.journal");
        let change = |after| AppChange {
            after,
            generation: after + 1,
            id: "b".into(),
            route: Some(route(&[&"b".repeat(4096)])),
        };
        let mut generation = 1;
        while !routes.kept.lock().unwrap().is_outgrown() {
            generation = routes.change(&change(generation), Keeper::Us).unwrap();
        }
        std::fs::remove_dir(&beside).unwrap();
        let before = std::fs::metadata(&journal).unwrap().len();
        routes.change(&change(generation), Keeper::Another).unwrap();
        assert_eq!(std::fs::metadata(&journal).unwrap().len(), before);
        assert_eq!(Routes::open(folder.path()).current().generation, generation);
    }

    #[test]
    fn a_change_that_cannot_be_kept_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let routes = Routes::open(folder.path());
        routes.install(table(7), Keeper::Us).unwrap();
        // Nobody can write to a folder, whatever their rights.
        std::fs::create_dir(folder.path().join("routes.journal")).unwrap();
        let change = AppChange { after: 7, generation: 8, id: "a".into(), route: None };
        assert!(matches!(routes.change(&change, Keeper::Us), Err(NotTaken::Disk { .. })));
        assert!(knows(&routes, "a.paddock.example"));
        std::fs::remove_dir(folder.path().join("routes.journal")).unwrap();
        assert_eq!(routes.change(&change, Keeper::Us).unwrap(), 8);
        assert!(!knows(&routes, "a.paddock.example"));
    }
}
