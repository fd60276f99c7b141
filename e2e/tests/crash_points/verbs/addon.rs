//! Add-ons: made, attached, changed, emptied, destroyed; in a server that is shared and in one of their own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{run, wait_until};
use serde_json::{Value, json};

use super::{Kind, Verb, kind};
use crate::client::{Client, Told};

pub(crate) const SHARED: &str = "heroku-postgresql:essential-0";
pub(crate) const OWN: &str = "heroku-postgresql:standard-0";
/// A server of its own is made anew, which takes its time on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(90);

pub(super) fn verbs() -> Vec<Kind> {
    vec![
        kind("add-on created", || Create { plan: SHARED }),
        kind("add-on attached", || Attach),
        kind("add-on detached", || Detach),
        kind("add-on changed", || Change { plan: SHARED, to: "essential-1" }),
        kind("database reset", || Reset),
        kind("add-on destroyed", || Destroy { plan: SHARED }),
        kind("own server created", || Create { plan: OWN }),
        kind("database killed", || Crash),
        kind("own server changed", || Change { plan: OWN, to: "standard-2" }),
        kind("own server destroyed", || Destroy { plan: OWN }),
    ]
}

pub(crate) fn app_of(number: usize) -> String {
    format!("made-{number}")
}

pub(crate) fn name_of(number: usize) -> String {
    format!("database-{number}")
}

pub(crate) fn addon_path(number: usize) -> String {
    format!("/apps/{}/addons/{}", app_of(number), name_of(number))
}

/// An app without anything, and nothing left of the rounds before.
fn fresh_app(client: &Client, number: usize) {
    super::app::destroy_made(client);
    client.http.api_json("POST", "/apps", &json!({ "name": app_of(number) })).with_status(201);
}

fn order(client: &Client, number: usize, plan: &str) -> Told {
    let body = json!({ "plan": { "name": plan }, "name": name_of(number), "attachment": {} });
    Told::by(&client.http.api_json("POST", &format!("/apps/{}/addons", app_of(number)), &body))
}

/// An app with an add-on that can be used, and something in it.
pub(crate) fn with_rows(client: &Client, number: usize, plan: &str) {
    fresh_app(client, number);
    assert!(matches!(order(client, number, plan), Told::Yes));
    provisioned(client, number);
    psql(client, number, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)");
}

fn provisioned(client: &Client, number: usize) -> Value {
    wait_until("the add-on to be provisioned", SOON, || {
        let addon = client.get(&addon_path(number));
        (addon["state"] == "provisioned").then_some(addon)
    })
}

pub(crate) fn url_of(client: &Client, app: &str, var: &str) -> Option<String> {
    let vars = client.get(&format!("/apps/{app}/config-vars"));
    vars[var].as_str().map(str::to_owned)
}

pub(crate) fn psql_at(url: &str, statement: &str) -> Result<String, String> {
    let mut program = Command::new("psql");
    program.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement, url]).env("PGSSLMODE", "require");
    let outcome = run(program, b"", Duration::from_secs(30));
    if outcome.status == 0 { Ok(outcome.stdout.trim().to_owned()) } else { Err(outcome.text()) }
}

/// What a statement answers, by the address that the app has.
pub(crate) fn psql(client: &Client, number: usize, statement: &str) -> String {
    let url = url_of(client, &app_of(number), "DATABASE_URL").expect("the app has an address");
    let mut said = String::new();
    wait_until("the database to answer", SOON, || match psql_at(&url, statement) {
        Ok(answer) => {
            said = answer;
            Some(())
        }
        Err(_) => None,
    });
    said
}

/// `heroku addons:create`.
struct Create {
    plan: &'static str,
}

impl Verb for Create {
    fn prepare(&mut self, client: &Client, number: usize) {
        fresh_app(client, number);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        order(client, number, self.plan)
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        // The name is taken if it was made: a client that was cut off looks first.
        match client.http.api("GET", &addon_path(number)).status {
            200 => Told::Yes,
            _ => self.attempt(client, number),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let addon = provisioned(client, number);
        assert_eq!(addon["config_vars"], json!(["DATABASE_URL"]), "{addon}");
        assert_eq!(client.list(&format!("/apps/{}/addons", app_of(number))).len(), 1, "made once");
        assert_eq!(psql(client, number, "SELECT 6 * 7"), "42");
        let releases = client.list(&format!("/apps/{}/releases", app_of(number)));
        assert_eq!(releases.len(), 3, "one release of it: {releases:?}");
    }
}

/// `heroku addons:attach` to another app.
struct Attach;

fn other_of(number: usize) -> String {
    format!("made-other-{number}")
}

fn attach(client: &Client, number: usize) -> Told {
    let body = json!({ "addon": { "name": name_of(number) }, "app": { "name": other_of(number) }, "name": "SHARED" });
    Told::by(&client.http.api_json("POST", "/addon-attachments", &body))
}

impl Verb for Attach {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
        client.http.api_json("POST", "/apps", &json!({ "name": other_of(number) })).with_status(201);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        attach(client, number)
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let url =
            url_of(client, &other_of(number), "SHARED_URL").expect("the address of the other's database");
        assert_eq!(psql_at(&url, "SELECT n FROM kept").as_deref(), Ok("42"));
        let releases = client.list(&format!("/apps/{}/releases", other_of(number)));
        assert_eq!(releases.len(), 3, "one release of it: {releases:?}");
    }
}

/// `heroku addons:detach`.
struct Detach;

impl Verb for Detach {
    fn prepare(&mut self, client: &Client, number: usize) {
        Attach.prepare(client, number);
        assert!(matches!(attach(client, number), Told::Yes));
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let path = format!("/apps/{}/addon-attachments/SHARED", other_of(number));
        let found = client.http.api("GET", &path);
        if found.status == 404 {
            return Told::Yes;
        }
        let id = found.json()["id"].as_str().unwrap_or_default().to_owned();
        Told::by(&client.http.api("DELETE", &format!("/addon-attachments/{id}")))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert_eq!(url_of(client, &other_of(number), "SHARED_URL"), None);
        assert_eq!(psql(client, number, "SELECT n FROM kept"), "42", "the first app still has it");
    }
}

/// `heroku addons:upgrade`.
struct Change {
    plan: &'static str,
    to: &'static str,
}

impl Verb for Change {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, self.plan);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let body = json!({ "plan": { "name": format!("heroku-postgresql:{}", self.to) } });
        Told::by(&client.http.api_json("PATCH", &addon_path(number), &body))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let addon = client.get(&addon_path(number));
        assert_eq!(addon["plan"]["name"], format!("heroku-postgresql:{}", self.to));
        wait_until("the limits of the new plan", SOON, || {
            let url = url_of(client, &app_of(number), "DATABASE_URL")?;
            let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user";
            let wanted = if self.to == "standard-2" { "400" } else { "20" };
            (psql_at(&url, limit).as_deref() == Ok(wanted)).then_some(())
        });
        assert_eq!(psql(client, number, "SELECT n FROM kept"), "42");
    }
}

/// `heroku pg:reset`.
struct Reset;

impl Verb for Reset {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let path = format!("/client/v11/databases/{}/reset", name_of(number));
        Told::by(&client.http.api("PUT", &path))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(psql(client, number, tables), "0", "nothing of before is there");
        assert_eq!(psql(client, number, "CREATE TABLE anew (); SELECT 1"), "1", "it can be used");
    }
}

/// A database server ends by itself.
struct Crash;

/// The programs of data servers that run on a server.
fn programs_of_data_servers(data: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data.join("run/containers")).into_iter().flatten().flatten() {
        let read = |name: &str| {
            let text = std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            serde_json::from_str::<Value>(&text).unwrap_or_default()
        };
        if read("spec.json")["labels"]["data_server"].is_string() {
            found.extend(read("state.json")["init"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()));
        }
    }
    found
}

impl Verb for Crash {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        let before = programs_of_data_servers(&client.data);
        for pid in &before {
            if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
                // One that has ended meanwhile was killed with the server.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        Told::Yes
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert_eq!(psql(client, number, "SELECT n FROM kept"), "42", "it is back with its rows");
    }
}

/// `heroku addons:destroy`.
struct Destroy {
    plan: &'static str,
}

impl Verb for Destroy {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, self.plan);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.api("DELETE", &addon_path(number)))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        let answer = client.http.api("DELETE", &addon_path(number));
        if answer.status == 404 { Told::Yes } else { Told::by(&answer) }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        wait_until("the add-on to be gone", SOON, || {
            (client.http.api("GET", &addon_path(number)).status == 404).then_some(())
        });
        assert_eq!(url_of(client, &app_of(number), "DATABASE_URL"), None);
    }
}
