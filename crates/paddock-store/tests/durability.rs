//! What was acknowledged survives kill -9, and nothing half-done does.
//!
//! The program starts a copy of itself that commits and says so, kills it, and looks at what is on disk.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test without the usual harness")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use paddock_core::event::{By, Event};
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, ServerId, UnixMicros};
use paddock_store::{Database, NewAccount, NewApp, ServerIdentity, Store, StoreConfig};
use uuid::Uuid;

const ROUNDS: usize = 5;
/// Different in each round, so that the kill comes at different steps.
const ACKNOWLEDGED: usize = 37;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("write-until-killed") => run(write_until_killed(Path::new(&arguments[1]))),
        _ if arguments.iter().any(|argument| argument == "--list") => list(&arguments),
        _ => run(kill_and_look()),
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

/// Test runners ask for names before they run anything.
fn list(arguments: &[String]) {
    if !arguments.iter().any(|argument| argument == "--ignored") {
        println!("what_was_acknowledged_survives_a_kill: test");
    }
}

fn config(folder: &Path) -> StoreConfig {
    let server = ServerIdentity {
        id: ServerId::from_uuid(Uuid::from_u128(1)),
        incarnation: Uuid::new_v4().to_string(),
        known: false,
    };
    StoreConfig::new(Database::Sqlite(folder.join("db/paddock.sqlite")), folder.join("keys/master"), server)
}

/// Says the number of each event after its commit was acknowledged. Each transaction also bumps the generation.
async fn write_until_killed(folder: &Path) {
    let store = Store::open(&config(folder)).await.unwrap();
    let app = store.apps().await.unwrap().remove(0);
    loop {
        let mut tx = store.begin_for_app(app.id, UnixMicros(1), "test").await.unwrap();
        let scaled = Event::FormationUpdated { app: app.id, scaled: "web@1".to_owned() };
        let number = tx.event(&scaled, By::Platform).await.unwrap();
        tx.commit().await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{number}").and_then(|()| out.flush()).unwrap();
    }
}

async fn make_app(store: &Store) {
    let owner_id = AccountId::from_uuid(Uuid::now_v7());
    let mut tx = store.begin_platform(UnixMicros(1), "test").await.unwrap();
    let account = NewAccount { id: owner_id, email: "a@x.test".into(), name: None, password_hash: None };
    tx.create_account(&account).await.unwrap();
    let id = AppId::from_uuid(Uuid::now_v7());
    tx.create_app(&NewApp { id, name: "first".parse().unwrap(), owner_id, stack: Stack::HOST })
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn kill_and_look() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = Store::open(&config(folder.path())).await.unwrap();
    make_app(&store).await;
    store.close().await;

    for round in 0..ROUNDS {
        let acknowledged = kill_a_writer(folder.path(), ACKNOWLEDGED + round * 7);
        let store = Store::open(&config(folder.path())).await.unwrap();
        let events = store.events_since(0, u32::MAX).await.unwrap();
        let generation = store.apps().await.unwrap().remove(0).generation;
        store.close().await;
        let newest = events.last().expect("some were acknowledged").sequence;
        assert!(
            newest >= acknowledged,
            "round {round}: {acknowledged} was acknowledged, {newest} is on disk"
        );
        // One commit may have been made and not been heard of.
        assert!(
            newest <= acknowledged + 1,
            "round {round}: {newest} is on disk, {acknowledged} acknowledged"
        );
        let changes = i64::try_from(events.len()).unwrap();
        assert_eq!(generation, 1 + changes, "round {round}: half a transaction is on disk");
    }
}

/// Kills a writer after it acknowledged `count` commits; the last number that it acknowledged.
fn kill_a_writer(folder: &Path, count: usize) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([std::ffi::OsStr::new("write-until-killed"), folder.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = None;
    for _ in 0..count {
        last = lines.next();
    }
    child.kill().unwrap();
    // What it said before the kill is still in the pipe; a line that was cut is not an acknowledgement.
    for line in lines {
        last = Some(line);
    }
    child.wait().unwrap();
    last.expect("the writer acknowledged").unwrap().parse().unwrap()
}
