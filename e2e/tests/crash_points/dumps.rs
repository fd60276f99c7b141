//! Starts on what a restore leaves of databases: a dump of each, from which it is filled before its app gets in.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Server, run, wait_until};

use crate::client::Client;
use crate::starts::{START, Start};
use crate::verbs::addon::{SHARED, addon_path, app_of, psql, url_of, with_rows};

const SOON: Duration = Duration::from_secs(90);

pub(crate) const TO_FILL: Start = Start {
    name: "start on a dump",
    last: Some("database.dump_removed:after"),
    prepare: dump_to_fill,
    check: is_filled,
    ..START
};

pub(crate) const OF_NOTHING: Start = Start {
    name: "start on a dump that is none",
    last: Some("database.dump_set_aside:after"),
    prepare: dump_of_nothing,
    check: is_set_aside,
    ..START
};

/// Apps of rounds have lower numbers.
static NEXT: AtomicUsize = AtomicUsize::new(1_000_000);

fn folder(client: &Client) -> PathBuf {
    client.data.join("databases")
}

/// The number of the app that was made last: the one that is there.
fn number(client: &Client) -> usize {
    let apps = client.list("/apps");
    let names = apps.iter().filter_map(|app| app["name"].as_str());
    names.filter_map(|name| name.strip_prefix("made-")?.parse().ok()).max().unwrap()
}

/// A database that has lost its rows beside a dump that has them, or some other file in its place.
fn prepared(server: &mut Server, client: &Client, other: Option<&str>) {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    with_rows(client, number, SHARED);
    let id = client.get(&addon_path(number))["id"].as_str().unwrap().to_owned();
    let _ = fs::DirBuilder::new().mode(0o700).create(folder(client));
    let file = folder(client).join(format!("{id}.aside"));
    match other {
        Some(text) => fs::write(&file, text).unwrap(),
        None => {
            let mut dump = Command::new("pg_dump");
            dump.args(["--format=custom", "--exclude-schema=_heroku", "--file"]).arg(&file);
            dump.arg(url_of(client, &app_of(number), "DATABASE_URL").unwrap()).env("PGSSLMODE", "require");
            run(dump, b"", SOON).succeeded();
        }
    }
    psql(client, number, "TRUNCATE kept; CREATE TABLE later (n int)");
    server.kill9_serve();
    fs::rename(&file, file.with_extension("dump")).unwrap();
}

fn dump_to_fill(server: &mut Server, client: &Client) {
    prepared(server, client, None);
}

fn dump_of_nothing(server: &mut Server, client: &Client) {
    prepared(server, client, Some("nothing"));
}

fn has_files(client: &Client) -> bool {
    fs::read_dir(folder(client)).unwrap().next().is_some()
}

fn is_filled(_: &Server, client: &Client) {
    let number = number(client);
    wait_until("invariant: a database is filled from its dump", SOON, || (!has_files(client)).then_some(()));
    assert_eq!(psql(client, number, "SELECT n FROM kept"), "42", "invariant: a database is filled once");
    assert_eq!(psql(client, number, "SELECT to_regclass('later') IS NULL"), "t");
    let left = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^[st][0-9a-f]{13}$'";
    assert_eq!(psql(client, number, left), "0");
}

/// It is told and closed, and whoever empties it has it back.
fn is_set_aside(_: &Server, client: &Client) {
    let number = number(client);
    let told = || client.log(&app_of(number)).contains("could not be filled from the server's backup");
    wait_until("invariant: an app hears that its database is not filled", SOON, || told().then_some(()));
    assert!(has_files(client), "the dump is kept");
    let reset = format!("/client/v11/databases/{}/reset", crate::verbs::addon::name_of(number));
    wait_until("the database to be emptied", SOON, || {
        (client.http.api("PUT", &reset).status < 300).then_some(())
    });
    assert_eq!(psql(client, number, "SELECT to_regclass('kept') IS NULL"), "t");
    assert!(!has_files(client));
}
