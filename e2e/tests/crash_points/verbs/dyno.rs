//! Dynos: scaled, restarted, crashed, run once.

use std::time::Duration;

use e2e::{Answer, Repo, wait_until};
use serde_json::{Value, json};

use super::{Kind, Verb, kind};
use crate::client::{APP, Client, Told};

const SOON: Duration = Duration::from_secs(60);

pub(super) fn verbs() -> Vec<Kind> {
    vec![
        kind("scale", || Scale),
        kind("restart", || Restart { before: String::new() }),
        kind("crash", || Crash { before: String::new() }),
        kind("run detached", || RunDetached),
        kind("run attached", || RunAttached),
        kind("boot timeout", || BootTimeout { repo: Repo::of_app("journey") }),
    ]
}

/// `heroku ps:scale`, up and down in turns.
struct Scale;

impl Verb for Scale {
    fn attempt(&self, client: &Client, number: usize) -> Told {
        let (web, worker) = (1 + number % 2, (number + 1) % 2);
        let updates = json!({ "updates": [{ "type": "web", "quantity": web }, { "type": "worker", "quantity": worker }] });
        Told::by(&client.http.api_json("PATCH", &format!("/apps/{APP}/formation"), &updates))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let formation = client.list(&format!("/apps/{APP}/formation"));
        let quantity = |name: &str| {
            formation
                .iter()
                .find(|row| row["type"] == name)
                .map(|row| row["quantity"].clone())
                .unwrap_or_default()
        };
        assert_eq!((quantity("web"), quantity("worker")), (json!(1 + number % 2), json!((number + 1) % 2)));
    }
}

/// The id of the web dyno.
fn web(client: &Client) -> String {
    let dynos = client.list(&format!("/apps/{APP}/dynos"));
    let web = dynos.iter().find(|dyno| dyno["name"] == "web.1");
    web.and_then(|dyno| dyno["id"].as_str()).unwrap_or_default().to_owned()
}

/// The app has a web dyno and no others.
fn have_one(client: &Client) {
    let one = json!({ "updates": [{ "type": "web", "quantity": 1 }, { "type": "worker", "quantity": 0 }] });
    client.http.api_json("PATCH", &format!("/apps/{APP}/formation"), &one).with_status(200);
}

/// `heroku ps:restart`.
struct Restart {
    before: String,
}

impl Verb for Restart {
    fn prepare(&mut self, client: &Client, _: usize) {
        have_one(client);
        self.before = web(client);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by(&client.http.api("DELETE", &format!("/apps/{APP}/dynos/web.1")))
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        wait_until("another dyno", SOON, || (web(client) != self.before).then_some(()));
    }
}

/// The app's program ends by itself.
struct Crash {
    before: String,
}

impl Verb for Crash {
    fn prepare(&mut self, client: &Client, _: usize) {
        have_one(client);
        let before = web(client);
        // A restart forgets earlier crashes, and with them the longer waits.
        client.http.api("DELETE", &format!("/apps/{APP}/dynos")).with_status(202);
        self.before = wait_until("a new dyno", SOON, || {
            let dynos = client.list(&format!("/apps/{APP}/dynos"));
            let is_up = dynos.len() == 1 && dynos[0]["state"] == "up";
            Some(web(client)).filter(|id| is_up && *id != before && !id.is_empty())
        });
        // It may have an address that another dyno had before the server was killed, and be reached by nobody until
        // this machine has forgotten that one's hardware address.
        client.page(APP);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        // The program dies before or after its answer.
        client.exit_app();
        Told::Yes
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        wait_until("another dyno", SOON, || (web(client) != self.before).then_some(()));
    }
}

/// `heroku run:detached`.
struct RunDetached;

impl RunDetached {
    fn run(client: &Client, says: &str) -> Told {
        let order = json!({ "command": format!("echo {says}"), "attach": false });
        Told::by(&client.http.api_json("POST", &format!("/apps/{APP}/dynos"), &order))
    }

    fn times(client: &Client, says: &str) -> usize {
        client.lines(APP, says).iter().filter(|line| *line == says).count()
    }
}

impl Verb for RunDetached {
    fn attempt(&self, client: &Client, number: usize) -> Told {
        Self::run(client, &format!("ran-{number}"))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        Self::run(client, &format!("ran-again-{number}"))
    }

    fn check(&self, client: &Client, number: usize, told: &Told) {
        let (first, second) = (format!("ran-{number}"), format!("ran-again-{number}"));
        let promised = if matches!(told, Told::Yes) { &first } else { &second };
        // The log also has the command, which says the same.
        wait_until("the one-off dyno's line", SOON, || (Self::times(client, promised) > 0).then_some(()));
        assert_eq!(Self::times(client, promised), 1, "invariant: a one-off dyno runs once");
        assert!(Self::times(client, &first) <= 1, "invariant: a one-off dyno runs once");
    }
}

/// `heroku run` of a program that waits; its client goes away.
struct RunAttached;

impl Verb for RunAttached {
    fn attempt(&self, client: &Client, number: usize) -> Told {
        let command = format!("echo attached-{number}; exec sleep 1000");
        let session = client.cli.follow(&["run", "--app", APP, "--", &command]);
        let greeting = format!("attached-{number}\n");
        // Cut off, it says why and ends, and never greets.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            session.wait_for(&greeting, Duration::from_secs(25));
        }));
        if ended.is_ok() { Told::Yes } else { Told::No(session.text()) }
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        wait_until("invariant: a one-off dyno ends with its client", SOON, || {
            let dynos = client.list(&format!("/apps/{APP}/dynos"));
            dynos.iter().all(|dyno| dyno["type"] != "run").then_some(())
        });
    }
}

/// A web dyno that does not listen within its minute, which the clock lets pass.
struct BootTimeout {
    repo: Repo,
}

/// The app that does not listen where it should.
const DEAF: &str = "walker-deaf";

impl BootTimeout {
    fn scale(client: &Client, quantity: u32) -> Answer {
        let updates = json!({ "updates": [{ "type": "web", "quantity": quantity }] });
        client.http.api_json("PATCH", &format!("/apps/{DEAF}/formation"), &updates)
    }

    /// Its dyno, while it has one and the server is there.
    fn dyno(client: &Client) -> Option<Value> {
        let dynos = client.http.api("GET", &format!("/apps/{DEAF}/dynos"));
        if dynos.status == 200 { dynos.json().as_array()?.first().cloned() } else { None }
    }

    fn rest(client: &Client) {
        Self::scale(client, 0).with_status(200);
        wait_until("no dyno", SOON, || client.list(&format!("/apps/{DEAF}/dynos")).is_empty().then_some(()));
    }
}

impl Verb for BootTimeout {
    fn prepare(&mut self, client: &Client, _: usize) {
        if client.http.api("GET", &format!("/apps/{DEAF}")).status == 404 {
            client.http.api_json("POST", "/apps", &json!({ "name": DEAF })).with_status(201);
            self.repo.write("Procfile", "web: exec python3 -m http.server 5000\n");
            self.repo.commit("Deaf");
            client.push(DEAF, &self.repo).succeeded();
        }
        Self::rest(client);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        let scaled = Self::scale(client, 1);
        if scaled.status != 200 {
            return Told::by(&scaled);
        }
        let booting = wait_until("a dyno that boots", SOON, || {
            Self::dyno(client).filter(|dyno| dyno["state"] == "starting")
        });
        client.clock.advance(Duration::from_secs(5));
        wait_until("what is said of its port", SOON, || {
            let dyno = Self::dyno(client)?;
            let is_said = dyno["command"].as_str().is_some_and(|command| command.contains("listens on"));
            (is_said || dyno["id"] != booting["id"]).then_some(())
        });
        client.clock.advance(Duration::from_secs(61));
        wait_until("the end of its boot", SOON, || {
            let dyno = Self::dyno(client)?;
            (dyno["state"] == "crashed" || dyno["id"] != booting["id"]).then_some(())
        });
        Told::Yes
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        // No formation is true while its dyno does not boot.
        Self::rest(client);
    }
}
