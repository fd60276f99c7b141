use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU32, Ordering};

use paddock_ipc::routes::{AppRoute, Web};
use tempfile::TempDir;

use super::fake::FakeRouter;
use super::*;

const INSTANCE: &str = "abcdef";

fn router(path: &Path, pid: u32) -> Arc<FakeRouter> {
    FakeRouter::listen(path, pid, paddock_ipc::VERSION)
}

/// Starts router 2, or something that leaves its socket without answering.
#[derive(Default)]
struct Starter {
    path: PathBuf,
    answers: bool,
    started: Mutex<Option<Arc<FakeRouter>>>,
    killed: AtomicU32,
}

#[async_trait]
impl RouterStarter for Starter {
    async fn start(&self, _: &[(Listener, OwnedFd)]) -> io::Result<u32> {
        if self.answers {
            *lock(&self.started) = Some(router(&self.path, 2));
        } else {
            drop(UnixListener::bind(&self.path)?);
        }
        Ok(2)
    }

    fn kill(&self, pid: u32) {
        self.killed.store(pid, Ordering::SeqCst);
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.sock");
    (folder, path)
}

fn link(path: &Path) -> RouterLink {
    RouterLink::new(path.to_owned(), INSTANCE.into())
}

fn route(host: &str) -> AppRoute {
    AppRoute {
        name: "one".into(),
        hosts: vec![host.to_owned()],
        maintenance: false,
        web: Web::None,
        error_page_url: None,
        maintenance_page_url: None,
        data: Default::default(),
    }
}

fn table(generation: u64) -> Arc<RouteTable> {
    Arc::new(RouteTable {
        generation,
        domain: "x".into(),
        resolvers: Vec::new(),
        hosts: BTreeMap::new(),
        apps: [("a".to_owned(), route("a.test"))].into(),
        proxy_form: None,
        trusted_proxies: Vec::new(),
    })
}

/// A change of the app in [`table`], and the table that it leads to.
fn change(after: u64) -> (AppChange, Arc<RouteTable>) {
    let change = AppChange { after, generation: after + 1, id: "a".into(), route: Some(route("b.test")) };
    let mut next = RouteTable::clone(&table(after));
    assert!(next.change(change.clone()));
    (change, Arc::new(next))
}

fn generation(router: &FakeRouter) -> u64 {
    router.told().table.as_ref().map_or(0, |table| table.generation)
}

#[tokio::test]
async fn a_router_that_is_replaced_retires_and_gets_tables_until_it_ends() {
    let (folder, path) = place();
    let old = router(&path, 1);
    let link = link(&path);
    assert_eq!(link.adopt().await.unwrap().pid, 1);
    let starter = Starter { path: path.clone(), answers: true, ..Starter::default() };
    assert_eq!(link.replace(&starter).await.unwrap().pid, 2);
    assert!(old.told().retired);
    let new = lock(&starter.started).take().unwrap();
    link.send_routes(table(7), None).await.unwrap();
    assert_eq!([&old, &new].map(|router| generation(router)), [7, 7]);

    // The next server finds both, and retires neither of them again.
    let next = self::link(&path);
    assert_eq!(next.adopt().await.unwrap().pid, 2);
    next.send_routes(table(8), None).await.unwrap();
    assert_eq!(generation(&old), 8);
    assert!(!new.told().retired);
    drop(folder);
}

#[tokio::test]
async fn where_the_new_one_does_not_start_the_old_one_goes_on() {
    let (_folder, path) = place();
    let old = router(&path, 1);
    let link = link(&path);
    link.adopt().await.unwrap();
    let starter = Starter { path: path.clone(), ..Starter::default() };
    assert!(matches!(link.replace(&starter).await, Err(RouterError::Away { .. })));
    assert_eq!(starter.killed.load(Ordering::SeqCst), 2);
    assert!(!old.told().retired);
    link.ping().await.unwrap();
    assert_eq!(self::link(&path).adopt().await.unwrap().pid, 1);
}

#[tokio::test]
async fn a_server_that_ends_while_it_replaces_a_router_leaves_one_to_the_next() {
    // Before the new one was there: the old one is brought back.
    let (folder, path) = place();
    let aside = folder.path().join("router-1.sock");
    let old = router(&aside, 1);
    assert_eq!(link(&path).adopt().await.unwrap().pid, 1);
    assert!(path.exists() && !aside.exists() && !old.told().retired);

    // Before the old one was told: it is told now.
    std::fs::rename(&path, &aside).unwrap();
    let new = router(&path, 2);
    assert_eq!(link(&path).adopt().await.unwrap().pid, 2);
    assert!(old.told().retired && !new.told().retired);

    // What is left of one that has ended is removed.
    let gone = folder.path().join("router-3.sock");
    drop(UnixListener::bind(&gone).unwrap());
    link(&path).adopt().await.unwrap();
    assert!(!gone.exists() && aside.exists());
}

#[tokio::test]
async fn a_change_goes_to_whom_it_follows_and_the_whole_table_to_others() {
    let (_folder, path) = place();
    // Of the last version, and so replaced: it gets what it understands.
    let old = FakeRouter::listen(&path, 1, 2);
    let link = link(&path);
    link.adopt().await.unwrap();
    link.send_routes(table(3), None).await.unwrap();
    let (first, next) = change(3);
    link.send_routes(next, Some(first)).await.unwrap();
    let told = old.told().clone();
    let table_of_2 = told.table.unwrap();
    assert_eq!((told.tables, told.changes, table_of_2.generation), (2, 0, 4));
    assert_eq!(table_of_2.hosts, [("b.test".to_owned(), "a".to_owned())].into());
    assert!(table_of_2.apps["a"].hosts.is_empty());

    let starter = Starter { path: path.clone(), answers: true, ..Starter::default() };
    link.replace(&starter).await.unwrap();
    let new = lock(&starter.started).take().unwrap();
    let (second, next) = change(4);
    link.send_routes(next, Some(second)).await.unwrap();
    let told = new.told().clone();
    assert_eq!(
        (told.tables, told.changes, generation(&new), generation(&old)),
        (1, 1, 5, 5),
        "it had no table"
    );
    let (third, next) = change(5);
    link.send_routes(next.clone(), Some(third)).await.unwrap();
    let told = new.told().clone();
    assert_eq!((told.tables, told.changes), (1, 2));
    assert_eq!(told.table.as_ref(), Some(&*next));
    assert_eq!((generation(&old), old.told().changes), (6, 0));
}
