//! Backups of a database: captured, put back, cancelled, deleted, shared, scheduled.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{pause, wait_until};
use serde_json::{Value, json};

use super::addon::{SHARED, SOON, app_of, name_of, psql, url_of, with_rows};
use super::{Kind, Verb, kind};
use crate::client::{Client, Told};

pub(super) fn verbs() -> Vec<Kind> {
    vec![
        kind("backup captured", || Capture),
        kind("backup restored", || Restore { backup: String::new() }),
        kind("no backup restored", || RestoreNothing),
        kind("backup cancelled", || Cancel { lock: None }),
        kind("backup deleted", || Delete),
        kind("backup shared", || Share),
        kind("backups scheduled", || Schedule),
        kind("backups unscheduled", || Unschedule),
    ]
}

fn at_database(number: usize, rest: &str) -> String {
    format!("/client/v11/databases/{}/{rest}", name_of(number))
}

fn transfers(client: &Client, number: usize) -> Vec<Value> {
    client.list(&format!("/client/v11/apps/{}/transfers", app_of(number)))
}

fn transfer_path(number: usize, rest: &str) -> String {
    format!("/client/v11/apps/{}/transfers/{rest}", app_of(number))
}

/// All of them have ended, one way or the other; the newest first.
fn ended(client: &Client, number: usize) -> Vec<Value> {
    wait_until("every transfer to end", SOON, || {
        let all = transfers(client, number);
        all.iter().all(|one| !one["finished_at"].is_null()).then_some(all)
    })
}

/// What a transfer does goes on after the answer: it is waited for as long as the server is there.
fn told_when_ended(client: &Client, number: usize, told: Told) -> Told {
    let deadline = Instant::now() + SOON;
    while matches!(told, Told::Yes) && Instant::now() < deadline {
        let answer = client.http.api("GET", &format!("/client/v11/apps/{}/transfers", app_of(number)));
        let is_over = |one: &Value| !one["finished_at"].is_null();
        if answer.status != 200 || answer.json().as_array().is_some_and(|all| all.iter().all(is_over)) {
            break;
        }
        pause(Duration::from_millis(50));
    }
    told
}

/// Nobody who moved data is left, and no file of a backup that nobody lists.
fn leaves_nothing(client: &Client, number: usize) {
    let left = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^[st][0-9a-f]{13}$'";
    assert_eq!(psql(client, number, left), "0");
    let good = transfers(client, number).iter().filter(|one| !one["to_url"].is_null()).count();
    let folder = client.data.join("backups").join(client.id(&app_of(number)));
    assert_eq!(std::fs::read_dir(folder).map_or(0, Iterator::count), good);
}

/// An app with a database and a backup of it.
fn with_backup(client: &Client, number: usize) {
    with_rows(client, number, SHARED);
    client.http.api("POST", &at_database(number, "backups")).with_status(201);
    assert_eq!(ended(client, number)[0]["succeeded"], true);
}

/// `heroku pg:backups:capture`.
struct Capture;

impl Verb for Capture {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let told = Told::by(&client.http.api("POST", &at_database(number, "backups")));
        told_when_ended(client, number, told)
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let all = ended(client, number);
        assert!(all.iter().all(|one| one["succeeded"] == true), "cut off, it begins again: {all:?}");
        leaves_nothing(client, number);
    }
}

/// `heroku pg:backups:restore`.
struct Restore {
    backup: String,
}

impl Verb for Restore {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_backup(client, number);
        let backup = transfers(client, number).remove(0);
        self.backup = backup["to_url"].as_str().expect("a backup that is good").to_owned();
        psql(client, number, "TRUNCATE kept");
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let body = json!({ "backup_url": self.backup });
        let told = Told::by(&client.http.api_json("POST", &at_database(number, "restores"), &body));
        told_when_ended(client, number, told)
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        // A second one is refused as long as the first is under way: a client that was cut off looks first.
        match transfers(client, number).iter().any(|one| one["to_type"] == "pg_restore") {
            true => Told::Yes,
            false => self.attempt(client, number),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let all = ended(client, number);
        assert!(all.iter().all(|one| one["succeeded"] == true), "cut off, it begins again: {all:?}");
        assert_eq!(psql(client, number, "SELECT n FROM kept"), "42");
        leaves_nothing(client, number);
    }
}

/// The same from an address where nothing may be fetched.
struct RestoreNothing;

impl Verb for RestoreNothing {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let body = json!({ "backup_url": "https://169.254.169.254/latest.dump" });
        Told::by(&client.http.api_json("POST", &at_database(number, "restores"), &body))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        if transfers(client, number).is_empty() { self.attempt(client, number) } else { Told::Yes }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let all = ended(client, number);
        assert!(all.iter().all(|one| one["succeeded"] == false), "{all:?}");
        assert_eq!(psql(client, number, "SELECT n FROM kept"), "42", "nothing was changed");
        leaves_nothing(client, number);
    }
}

/// A session that has locked a table, so that a dump waits.
struct Lock(Child);

impl Lock {
    fn taken(client: &Client, number: usize) -> Self {
        let url = url_of(client, &app_of(number), "DATABASE_URL").expect("the app has an address");
        let locked = "BEGIN; LOCK TABLE kept; SELECT pg_sleep(600)";
        let mut program = Command::new("psql");
        program.args(["-XqAt", "-c", locked, &url]).env("PGSSLMODE", "require");
        let lock =
            Self(program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("psql is installed"));
        let seen = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'kept'::regclass";
        wait_until("the table to be locked", SOON, || (psql(client, number, seen) == "1").then_some(()));
        lock
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `heroku pg:backups:cancel`.
struct Cancel {
    lock: Option<Lock>,
}

impl Verb for Cancel {
    fn prepare(&mut self, client: &Client, number: usize) {
        self.lock = None;
        with_rows(client, number, SHARED);
        self.lock = Some(Lock::taken(client, number));
        client.http.api("POST", &at_database(number, "backups")).with_status(201);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.api("POST", &transfer_path(number, "1/actions/cancel")))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let all = ended(client, number);
        assert_eq!(all[0]["succeeded"], false, "{all:?}");
        assert!(!all[0]["canceled_at"].is_null(), "{all:?}");
        leaves_nothing(client, number);
    }
}

/// `heroku pg:backups:delete`.
struct Delete;

impl Verb for Delete {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_backup(client, number);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.api("DELETE", &transfer_path(number, "1")))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        let answer = client.http.api("DELETE", &transfer_path(number, "1"));
        if answer.status == 404 { Told::Yes } else { Told::by(&answer) }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert!(transfers(client, number).is_empty());
        let folder = client.data.join("backups").join(client.id(&app_of(number)));
        wait_until("the file of a backup to be gone", SOON, || (!folder.exists()).then_some(()));
    }
}

/// `heroku pg:backups:url`.
struct Share;

impl Verb for Share {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_backup(client, number);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.api("POST", &transfer_path(number, "1/actions/public-url")))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        leaves_nothing(client, number);
    }
}

fn schedules(client: &Client, number: usize) -> Vec<Value> {
    client.list(&at_database(number, "transfer-schedules"))
}

fn schedule(client: &Client, number: usize) -> Told {
    // An hour that has struck already today: none is due before tomorrow.
    let body = json!({ "hour": 0, "timezone": "UTC", "schedule_name": "DATABASE_URL" });
    Told::by(&client.http.api_json("POST", &at_database(number, "transfer-schedules"), &body))
}

/// `heroku pg:backups:schedule`.
struct Schedule;

impl Verb for Schedule {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        schedule(client, number)
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let all = schedules(client, number);
        assert_eq!((all.len(), &all[0]["hour"]), (1, &json!(0)), "{all:?}");
    }
}

/// `heroku pg:backups:unschedule`.
struct Unschedule;

impl Verb for Unschedule {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
        assert!(matches!(schedule(client, number), Told::Yes));
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let Some(one) = schedules(client, number).pop() else { return Told::Yes };
        let id = one["uuid"].as_str().expect("it has an id").to_owned();
        Told::by(&client.http.api("DELETE", &at_database(number, &format!("transfer-schedules/{id}"))))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert!(schedules(client, number).is_empty());
    }
}
