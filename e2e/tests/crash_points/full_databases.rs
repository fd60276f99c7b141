//! Databases that hold more than their plan when the server starts: its first look warns of them, restricts what was
//! over it for too long, and frees what is small enough again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Server, wait_until};
use serde_json::json;

use crate::client::Client;
use crate::starts::{START, Start};
use crate::verbs::addon::{SHARED, SOON, psql_at, url_of};

const APP: &str = "walker-full";
const NAME: &str = "full-database";
/// The plan has a gigabyte. A file without contents is enough: PostgreSQL adds up the lengths of those in its folder.
const TOO_MUCH: u64 = 1_200_000_000;
const EIGHT_DAYS: Duration = Duration::from_secs(8 * 24 * 60 * 60);

pub(crate) const STARTS: [Start; 3] = [
    Start {
        name: "start on a database over its plan",
        last: Some("addon.storage_noted:after"),
        prepare: over,
        check: is_warned_of,
        ..START
    },
    Start {
        name: "start on one that was over it for long",
        is_aside: true,
        last: Some("addon.storage_released:after"),
        prepare: over_for_long,
        check: is_restricted,
        ..START
    },
    Start {
        name: "start on one that is small again",
        is_aside: true,
        last: Some("addon.storage_released:after"),
        prepare: small_again,
        check: is_free,
        ..START
    },
];

fn over(server: &mut Server, client: &Client) {
    become_free(server, client);
    let file = padding(client);
    server.kill9_serve();
    fill(&file);
}

fn over_for_long(server: &mut Server, client: &Client) {
    become_free(server, client);
    fill(&padding(client));
    look(server, client, "over");
    server.kill9_serve();
    client.clock.advance(EIGHT_DAYS);
}

fn small_again(server: &mut Server, client: &Client) {
    over_for_long(server, client);
    server.spawn_serve();
    server.wait_ready();
    wait_for(server, "restricted");
    let file = padding(client);
    server.kill9_serve();
    empty(&file);
}

fn is_warned_of(server: &Server, client: &Client) {
    wait_for(server, "over");
    assert_eq!(ask(client, "INSERT INTO kept VALUES (1); SELECT 'written'"), Ok("written".to_owned()));
}

/// It can be read and emptied by one connection, and no login but this one is let in.
fn is_restricted(server: &Server, client: &Client) {
    wait_for(server, "restricted");
    let refused =
        ask(client, "INSERT INTO kept VALUES (1)").expect_err("nothing is written to a full database");
    assert!(refused.contains("permission denied"), "{refused}");
    assert_eq!(ask(client, "DELETE FROM kept WHERE n = 1; SELECT 'deleted'"), Ok("deleted".to_owned()));
    assert_eq!(logins_let_in(client), "1");
}

fn is_free(server: &Server, client: &Client) {
    wait_for(server, "available");
    assert_eq!(ask(client, "INSERT INTO kept VALUES (1); SELECT 'written'"), Ok("written".to_owned()));
    assert_eq!(logins_let_in(client), "1");
}

/// It is there, holds next to nothing, and may do everything.
fn become_free(server: &mut Server, client: &Client) {
    let app = format!("/apps/{APP}");
    if client.http.api("GET", &app).status == 404 {
        client.http.api_json("POST", "/apps", &json!({ "name": APP })).with_status(201);
        let body = json!({ "plan": { "name": SHARED }, "name": NAME, "attachment": {} });
        client.http.api_json("POST", &format!("{app}/addons"), &body).with_status(201);
        let made = || (ask(client, "CREATE TABLE kept (n int)").is_ok()).then_some(());
        wait_until("a database", SOON, made);
    }
    empty(&padding(client));
    if state(server) != "available" {
        look(server, client, "available");
    }
}

/// A start looks at once, what runs once a minute.
fn look(server: &mut Server, client: &Client, then: &str) {
    server.kill9_serve();
    server.spawn_serve();
    server.wait_ready();
    client.calm();
    wait_for(server, then);
}

fn wait_for(server: &Server, wanted: &str) {
    wait_until(&format!("a database to be {wanted}"), SOON, || (state(server) == wanted).then_some(()));
}

fn state(server: &Server) -> String {
    server.sql(&format!("SELECT storage_state FROM addons WHERE name = '{NAME}'")).trim().to_owned()
}

fn ask(client: &Client, statement: &str) -> Result<String, String> {
    let url = url_of(client, APP, "DATABASE_URL").ok_or("the app has no address")?;
    psql_at(&url, statement)
}

/// As anybody may read.
fn logins_let_in(client: &Client) -> String {
    let roles = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolconnlimit <> 0 AND NOT rolsuper \
                 AND has_database_privilege(oid, current_database(), 'CONNECT')";
    ask(client, roles).unwrap()
}

fn fill(file: &Path) {
    File::create(file).unwrap().set_len(TOO_MUCH).unwrap();
}

fn empty(file: &Path) {
    if file.exists() {
        fs::remove_file(file).unwrap();
    }
}

/// A file in the database's folder, which has its number, below the only volume that has one of this name.
fn padding(client: &Client) -> PathBuf {
    let number = ask(client, "SELECT oid FROM pg_database WHERE datname = current_database()").unwrap();
    let volumes = fs::read_dir(client.data.join("volumes")).unwrap().flatten();
    let mut folders = volumes.map(|volume| volume.path().join("data/15/base").join(&number));
    folders.find(|folder| folder.is_dir()).expect("the database has a folder").join("padding")
}
