//! Keys are rotated by a program that is killed again and again: at no moment is a secret lost.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test without the usual harness")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use paddock_core::config::{ConfigVars, OwnedConfig};
use paddock_core::release::ReleaseStatus;
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, ReleaseId, ServerId, UnixMicros};
use paddock_store::{Database, NewAccount, NewApp, NewRelease, ServerIdentity, Store, StoreConfig};
use uuid::Uuid;

const ROUNDS: usize = 25;
/// More than are sealed again in one transaction.
const RELEASES: usize = 150;
const NOW: UnixMicros = UnixMicros(1);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("rotate-until-killed") => run(rotate_until_killed(Path::new(&arguments[1]))),
        _ if arguments.iter().any(|argument| argument == "--list") => list(&arguments),
        _ => run(kill_and_read()),
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

/// Test runners ask for names before they run anything.
fn list(arguments: &[String]) {
    if !arguments.iter().any(|argument| argument == "--ignored") {
        println!("secrets_survive_kills_while_keys_are_rotated: test");
    }
}

fn config(folder: &Path) -> StoreConfig {
    let server = ServerIdentity {
        id: ServerId::from_uuid(Uuid::from_u128(1)),
        incarnation: "test".to_owned(),
        known: false,
    };
    StoreConfig::new(Database::Sqlite(folder.join("db/paddock.sqlite")), folder.join("keys/master"), server)
}

fn secrets(number: usize) -> ConfigVars {
    [("NUMBER".to_owned(), number.to_string())].into()
}

fn attached(number: usize) -> ConfigVars {
    [("ATTACHED".to_owned(), number.to_string())].into()
}

fn both(number: usize) -> ConfigVars {
    OwnedConfig { user: secrets(number), attached: attached(number) }.merged()
}

async fn rotate_until_killed(folder: &Path) {
    let config = config(folder);
    let store = Store::open(&config).await.unwrap();
    loop {
        store.rotate_master_key(&config.master_key_file, None).await.unwrap();
        store.rotate_data_key(&config.master_key_file).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "rotated").and_then(|()| out.flush()).unwrap();
    }
}

async fn make_releases(store: &Store) -> (AppId, Vec<ReleaseId>) {
    let account_id = AccountId::from_uuid(Uuid::now_v7());
    let mut tx = store.begin_platform(NOW, "test").await.unwrap();
    let account = NewAccount { id: account_id, email: "a@x.test".into(), name: None, password_hash: None };
    tx.create_account(&account).await.unwrap();
    let app_id = AppId::from_uuid(Uuid::now_v7());
    let (owner_id, stack) = (account_id, Stack::HOST);
    tx.create_app(&NewApp { id: app_id, name: "first".parse().unwrap(), owner_id, stack }).await.unwrap();
    let mut releases = Vec::new();
    for number in 0..RELEASES {
        let new = NewRelease {
            id: ReleaseId::from_uuid(Uuid::now_v7()),
            app_id,
            description: "Set NUMBER config var".into(),
            account_id,
            slug_id: None,
            status: ReleaseStatus::Succeeded,
            rollback_of: None,
            laid_on: None,
            release_command: None,
            output: None,
            config: OwnedConfig { user: secrets(number), attached: attached(number) },
        };
        releases.push(tx.create_release(&new).await.unwrap().id);
    }
    tx.set_config(app_id, &secrets(RELEASES)).await.unwrap();
    tx.set_attached(app_id, &attached(RELEASES)).await.unwrap();
    tx.commit().await.unwrap();
    (app_id, releases)
}

async fn kill_and_read() {
    // In memory: a kill loses nothing of what was written, synced or not.
    let folder = tempfile::TempDir::new_in("/dev/shm").unwrap();
    let store = Store::open(&config(folder.path())).await.unwrap();
    let (app, releases) = make_releases(&store).await;
    store.close().await;
    let first_key = std::fs::read(config(folder.path()).master_key_file).unwrap();

    for round in 0..ROUNDS {
        kill_a_rotation(folder.path(), round % 3);
        let store = Store::open(&config(folder.path())).await;
        let store = store.unwrap_or_else(|error| panic!("round {round}: {error}"));
        for (number, id) in releases.iter().enumerate() {
            let read = store.config_vars_of_release(app, *id).await;
            assert_eq!(read.unwrap(), both(number), "round {round}");
        }
        assert_eq!(store.config_vars(app).await.unwrap(), both(RELEASES), "round {round}");
        store.close().await;
    }
    // What was begun last is ended by asking once more, and the first key is worth nothing.
    let config = config(folder.path());
    let store = Store::open(&config).await.unwrap();
    store.rotate_data_key(&config.master_key_file).await.unwrap();
    assert!(!store.is_data_key_rotating().await.unwrap());
    store.close().await;
    let old = folder.path().join("old-key");
    std::fs::write(&old, first_key).unwrap();
    let with_old = StoreConfig { master_key_file: old, ..config };
    assert!(Store::open(&with_old).await.is_err());
}

/// Kills a program that rotates, after it has done so `count` times: at whatever step it is then.
fn kill_a_rotation(folder: &Path, count: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([std::ffi::OsStr::new("rotate-until-killed"), folder.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..=count {
        lines.next().expect("it rotates").unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
