use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;

const INSTANCE: &str = "abcdef";

/// What a router was told.
#[derive(Debug, Default)]
struct Told {
    retired: AtomicBool,
    generation: AtomicU64,
}

/// A router that answers on a socket for as long as the test runs.
fn router(path: &Path, pid: u32) -> Arc<Told> {
    let listener = UnixListener::bind(path).unwrap();
    let told = Arc::new(Told::default());
    let shared = told.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = shared.clone();
            std::thread::spawn(move || {
                while let Ok(Some((message, _))) = frame::receive::<ToRouter>(stream.as_fd()) {
                    let answer = told.answer(message, pid);
                    frame::send(stream.as_fd(), &answer, &[]).unwrap();
                }
            });
        }
    });
    told
}

impl Told {
    fn answer(&self, message: ToRouter, pid: u32) -> FromRouter {
        match message {
            ToRouter::Hello { version, instance } => {
                return FromRouter::Hello {
                    version,
                    program: format!("program {pid}"),
                    instance,
                    pid,
                    generation: 0,
                    listeners: Vec::new(),
                    spool: Some(Uuid::from_u128(pid.into()).to_string()),
                    retiring: self.retired(),
                };
            }
            ToRouter::Routes(table) => self.generation.store(table.generation, Ordering::SeqCst),
            ToRouter::Retire => self.retired.store(true, Ordering::SeqCst),
            ToRouter::App(_) | ToRouter::Ack { .. } | ToRouter::Stop => {}
        }
        FromRouter::Done { generation: self.generation.load(Ordering::SeqCst) }
    }

    fn retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }
}

/// Starts router 2, or something that leaves its socket without answering.
#[derive(Default)]
struct Starter {
    path: PathBuf,
    answers: bool,
    started: Mutex<Option<Arc<Told>>>,
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

fn table(generation: u64) -> RouteTable {
    let (hosts, apps) = Default::default();
    RouteTable {
        generation,
        domain: "x".into(),
        resolvers: Vec::new(),
        hosts,
        apps,
        proxy_form: None,
        trusted_proxies: Vec::new(),
    }
}

#[tokio::test]
async fn a_router_that_is_replaced_retires_and_gets_tables_until_it_ends() {
    let (folder, path) = place();
    let old = router(&path, 1);
    let link = link(&path);
    assert_eq!(link.adopt().await.unwrap().pid, 1);
    let starter = Starter { path: path.clone(), answers: true, ..Starter::default() };
    assert_eq!(link.replace(&starter).await.unwrap().pid, 2);
    assert!(old.retired());
    let new = lock(&starter.started).take().unwrap();
    link.send_routes(table(7)).await.unwrap();
    let generations = [&old, &new].map(|router| router.generation.load(Ordering::SeqCst));
    assert_eq!(generations, [7, 7]);

    // The next server finds both, and retires neither of them again.
    let next = self::link(&path);
    assert_eq!(next.adopt().await.unwrap().pid, 2);
    next.send_routes(table(8)).await.unwrap();
    assert_eq!(old.generation.load(Ordering::SeqCst), 8);
    assert!(!new.retired());
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
    assert!(!old.retired());
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
    assert!(path.exists() && !aside.exists() && !old.retired());

    // Before the old one was told: it is told now.
    std::fs::rename(&path, &aside).unwrap();
    let new = router(&path, 2);
    assert_eq!(link(&path).adopt().await.unwrap().pid, 2);
    assert!(old.retired() && !new.retired());

    // What is left of one that has ended is removed.
    let gone = folder.path().join("router-3.sock");
    drop(UnixListener::bind(&gone).unwrap());
    link(&path).adopt().await.unwrap();
    assert!(!gone.exists() && aside.exists());
}
