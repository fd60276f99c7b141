//! Add-ons by the official CLI: made, shared, resized, taken down. Each state is looked up through the API and in the database.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::time::Duration;

use e2e::{Cli, Server, Transcript, ask_database, may_run, run, wait_until};
use serde_json::{Value, json};

const APP: &str = "addons-app";
const OTHER: &str = "addons-other";

struct Journey {
    server: Server,
    cli: Cli,
    transcript: Transcript,
}

#[test]
fn the_official_cli_makes_shares_resizes_and_destroys_add_ons() {
    if !may_run("add-ons") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let transcript = Transcript::begin("addons", &server, &cli);
    let mut journey = Journey { server, cli, transcript };
    journey.what_there_is();
    journey.create();
    journey.look();
    journey.bad_orders();
    journey.share();
    journey.change_plans();
    journey.destroy();
    journey.destroy_while_it_is_made();
    journey.transcript.finish();
}

impl Journey {
    fn say(&mut self, arguments: &[&str]) -> String {
        let outcome = self.cli.heroku(arguments);
        self.transcript.say(outcome).succeeded().text()
    }

    fn note(&mut self, arguments: &[&str]) -> String {
        let outcome = self.cli.heroku(arguments);
        self.transcript.note(outcome).succeeded().text()
    }

    fn refused(&mut self, arguments: &[&str], reason: &str) {
        let before = self.state();
        let outcome = self.cli.heroku(arguments);
        let _ = self.transcript.say(outcome).failed_saying(reason);
        assert_eq!(self.state(), before, "what is refused changes nothing");
    }

    fn api(&self, path: &str) -> Value {
        self.server.http().api("GET", path).with_status(200).json()
    }

    /// Everything that a refusal must leave as it is.
    fn state(&self) -> Value {
        json!([
            self.api("/addons"),
            self.api("/addon-attachments"),
            self.api(&format!("/apps/{APP}/config-vars")),
            self.api(&format!("/apps/{APP}/releases")),
        ])
    }

    fn config(&self, app: &str, name: &str) -> String {
        self.api(&format!("/apps/{app}/config-vars"))[name].as_str().unwrap_or_default().to_owned()
    }

    fn newest_release(&self, app: &str) -> String {
        let releases = self.api(&format!("/apps/{app}/releases"));
        releases.as_array().unwrap().last().unwrap()["description"].as_str().unwrap().to_owned()
    }

    fn plan(&self, addon: &str) -> String {
        self.api(&format!("/addons/{addon}"))["plan"]["name"].as_str().unwrap().to_owned()
    }

    fn what_there_is(&mut self) {
        for app in [APP, OTHER] {
            let _ = self.cli.heroku(&["create", app, "--no-remote"]).succeeded();
        }
        self.say(&["addons", "--app", APP]);
        self.say(&["addons", "--all"]);
        self.say(&["addons:services"]);
        self.say(&["addons:services", "--json"]);
        self.say(&["addons:plans", "heroku-postgresql"]);
        self.say(&["addons:docs", "heroku-postgresql", "--show-url"]);
        self.refused(&["addons:plans", "heroku-redis"], "Couldn't find the add-on service");
        self.refused(&["addons:info", "nothing", "--app", APP], "Couldn't find that add-on");
    }

    fn create(&mut self) {
        self.refused(&["pg:psql", "--app", APP, "-c", "SELECT 1"], "has no databases");
        let outcome = self.cli.heroku(&["addons:create", "heroku-postgresql", "--app", APP]);
        let made = self.api(&format!("/apps/{APP}/addons"))[0].clone();
        let name = made["name"].as_str().unwrap().to_owned();
        let words: Vec<_> = name.split('-').collect();
        assert!(
            words.len() == 3 && words[0] == "postgresql" && words[2].parse::<u32>().is_ok(),
            "{name} is no postgresql-adjective-number"
        );
        self.transcript.name(&name, "ADDON");
        let _ = self.transcript.say(outcome).succeeded();
        assert_eq!(made["config_vars"], json!(["DATABASE_URL"]));
        assert_eq!(made["state"], "provisioned");
        assert_eq!(self.plan(&name), "heroku-postgresql:essential-0");
        assert_eq!(self.newest_release(APP), format!("Attach DATABASE (@ref:{name})"));
        let url = self.config(APP, "DATABASE_URL");
        assert_eq!(ask_database(&url, "SELECT 6 * 7").succeeded().stdout, "42\n");

        self.say(&["addons:rename", &name, "first-db"]);
        assert_eq!(self.api("/addons/first-db")["id"], made["id"]);
        assert_eq!(self.server.http().api("GET", &format!("/addons/{name}")).status, 404);
        assert_eq!(self.config(APP, "DATABASE_URL"), url);

        self.say(&["addons:create", "heroku-postgresql:hobby-dev", "--name", "second-db", "--app", APP]);
        assert_eq!(self.plan("second-db"), "heroku-postgresql:essential-0");
        let second = self.config(APP, "HEROKU_POSTGRESQL_AMBER_URL");
        assert_ne!(second, url);
        assert_eq!(ask_database(&second, "SELECT 1").succeeded().stdout, "1\n");

        let reports = ["heroku-postgresql:essential-1", "--as", "REPORTS", "--name", "reports-db", "--wait"];
        self.say(&[&["addons:create", "--app", APP][..], &reports].concat());
        assert_eq!(ask_database(&self.config(APP, "REPORTS_URL"), "SELECT 1").succeeded().stdout, "1\n");
    }

    fn look(&mut self) {
        self.say(&["addons", "--app", APP]);
        self.say(&["addons", "--all"]);
        let listed = self.note(&["addons", "--app", APP, "--json"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let names: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["first-db", "second-db", "reports-db"], "oldest first");
        self.say(&["addons:info", "first-db"]);
        self.say(&["addons:info", "DATABASE", "--app", APP]);
        self.say(&["addons:info", "REPORTS_URL", "--app", APP]);
        self.refused(&["addons:info", "heroku-postgresql", "--app", APP], "multiple matching");
        self.say(&["addons:wait", "--app", APP]);
        self.say(&["addons:wait", "first-db"]);
        self.say(&["addons:docs", "first-db", "--show-url"]);
    }

    fn bad_orders(&mut self) {
        let create = |more: &[&'static str]| [&["addons:create", "--app", APP][..], more].concat();
        for (more, reason) in [
            (
                &["heroku-postgresql:essential-9"][..],
                "Couldn't find either the add-on service or the add-on plan",
            ),
            (&["heroku-kafka"], "Couldn't find either the add-on service or the add-on plan"),
            (&["heroku-postgresql:premium-0"], "not built"),
            (&["heroku-postgresql", "--as", "REPORTS"], "already attached as REPORTS"),
            (&["heroku-postgresql", "--as", "lower_case"], "uppercase letter"),
            (&["heroku-postgresql", "--name", "first-db"], "already taken"),
            (&["heroku-postgresql", "--name", "No Name"], "Name is invalid"),
            (&["heroku-postgresql", "--", "--follow", "DATABASE"], "not built yet"),
            (&["heroku-postgresql", "--", "--fork", "DATABASE"], "not built yet"),
            (&["heroku-postgresql:standard-0", "--", "--fork", "DATABASE"], "not built yet"),
            (&["heroku-postgresql", "--", "--version", "9.6"], "PostgreSQL 9.6 is not installed"),
            (&["heroku-postgresql", "--", "--colour", "red"], "no option \"colour\""),
        ] {
            self.refused(&create(more), reason);
        }
        let _ = self.cli.heroku(&["config:set", "MINE_URL=of-the-user", "--app", APP]).succeeded();
        self.refused(&create(&["heroku-postgresql", "--as", "MINE"]), "config var MINE_URL of its own");
        self.refused(&["config:set", "DATABASE_URL=postgres://elsewhere", "--app", APP], "DATABASE_URL");
        self.refused(&["config:unset", "DATABASE_URL", "--app", APP], "DATABASE_URL");
        self.refused(&["addons:rename", "first-db", "second-db"], "already taken");
    }

    fn share(&mut self) {
        self.say(&["addons:attach", "reports-db", "--app", OTHER, "--as", "SHARED"]);
        assert_eq!(self.config(OTHER, "SHARED_URL"), self.config(APP, "REPORTS_URL"));
        assert_eq!(self.newest_release(OTHER), "Attach SHARED (@ref:reports-db)");
        self.say(&["addons:attach", "reports-db", "--app", OTHER]);
        assert_eq!(self.config(OTHER, "DATABASE_URL"), self.config(APP, "REPORTS_URL"));
        self.say(&["addons", "--app", OTHER]);
        self.say(&["addons:info", "reports-db"]);
        self.refused(
            &["addons:attach", "first-db", "--app", OTHER, "--as", "SHARED", "--confirm", "no"],
            "did not match",
        );
        self.say(&["addons:attach", "first-db", "--app", OTHER, "--as", "SHARED", "--confirm", OTHER]);
        assert_eq!(self.config(OTHER, "SHARED_URL"), self.config(APP, "DATABASE_URL"));
        self.refused(&["addons:attach", "first-db", "--app", OTHER, "--credential", "none"], "credential");
        self.refused(&["addons:attach", "no-such-db", "--app", OTHER], "Couldn't find that add-on");
        self.say(&["addons:detach", "SHARED", "--app", OTHER]);
        assert_eq!(self.config(OTHER, "SHARED_URL"), "");
        assert_eq!(self.newest_release(OTHER), "Detach SHARED (@ref:first-db)");
        self.refused(&["addons:detach", "DATABASE", "--app", APP], "last attachment");
        self.attach_across_owners();
    }

    /// Somebody else's app, on which this account works: what is another owner's is not given to it.
    fn attach_across_owners(&mut self) {
        let data = self.server.data().display().to_string();
        let make = self.server.program(&["account", "create", "neighbour@example.com", "--data", &data]);
        let made = run(make, b"", Duration::from_secs(60)).succeeded();
        let basic = format!("neighbour@example.com:{}", made.stdout.trim());
        let login = self.server.http().password_login(&basic).with_status(201).json();
        let theirs = self.server.http().with_token(login["access_token"]["token"].as_str().unwrap());
        let _ = theirs.api_json("POST", "/apps", &json!({ "name": "neighbours" })).with_status(201);
        let me = self.api("/account")["email"].clone();
        let body = json!({ "user": me, "silent": true });
        let _ = theirs.api_json("POST", "/apps/neighbours/collaborators", &body).with_status(201);
        for path in ["/addons/first-db", "/addons/first-db/config", "/client/v11/databases/first-db"] {
            assert_eq!(theirs.api("GET", path).status, 404, "{path}");
        }
        assert_eq!(theirs.api("GET", "/addons").json(), json!([]));
        self.refused(&["addons:attach", "first-db", "--app", "neighbours"], "another owner");
        // Who works on an app that only has a database attached uses it, and does nothing to it.
        let body = json!({ "user": "neighbour@example.com", "silent": true });
        let http = self.server.http();
        let _ = http.api_json("POST", &format!("/apps/{OTHER}/collaborators"), &body).with_status(201);
        assert_eq!(theirs.api("GET", "/client/v11/databases/reports-db").status, 200);
        for (method, call, body) in [
            ("PUT", "reset", json!({})),
            ("POST", "backups", json!({})),
            ("POST", "restores", json!({ "backup_url": "https://example.com/a.dump" })),
            ("POST", "transfer-schedules", json!({ "hour": 2, "timezone": "UTC" })),
        ] {
            let path = format!("/client/v11/databases/reports-db/{call}");
            assert_eq!(theirs.api_json(method, &path, &body).status, 403, "{call}");
        }
        let gone = format!("/apps/{OTHER}/collaborators/neighbour@example.com");
        let _ = http.api("DELETE", &gone).with_status(200);
        let _ = theirs.api("DELETE", "/apps/neighbours").with_status(200);
    }

    fn change_plans(&mut self) {
        self.say(&["addons:upgrade", "first-db", "heroku-postgresql:essential-1"]);
        assert_eq!(self.plan("first-db"), "heroku-postgresql:essential-1");
        self.say(&["addons:upgrade", "first-db", "essential-2", "--app", APP]);
        // The limit of whoever logs in is the plan's at once.
        let url = self.config(APP, "DATABASE_URL");
        let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user";
        assert_eq!(ask_database(&url, limit).succeeded().stdout, "40\n");
        self.say(&["addons:downgrade", "first-db", "essential-0", "--app", APP]);
        assert_eq!(self.plan("first-db"), "heroku-postgresql:essential-0");
        assert_eq!(ask_database(&url, limit).succeeded().stdout, "20\n");
        self.refused(&["addons:upgrade", "first-db", "standard-0"], "pg:copy");
        self.refused(&["addons:upgrade", "first-db", "essential-7"], "Here are the available plans");
        self.refused(&["addons:upgrade", "first-db"], "No plan specified");
        self.refused(&["addons:upgrade", "heroku-postgresql:essential-1", "--app", APP], "multiple matching");
    }

    fn destroy(&mut self) {
        self.refused(&["addons:destroy", "reports-db", "--confirm", "wrong"], "did not match");
        self.refused(&["addons:destroy", "reports-db", "--confirm", APP], "--force");
        self.refused(&["addons:destroy", "reports-db", "--app", OTHER, "--confirm", OTHER], "not");
        let url = self.config(APP, "REPORTS_URL");
        self.say(&["addons:destroy", "reports-db", "--confirm", APP, "--force"]);
        assert_eq!(self.server.http().api("GET", "/addons/reports-db").status, 404);
        assert_eq!((self.config(APP, "REPORTS_URL"), self.config(OTHER, "DATABASE_URL")), Default::default());
        for app in [APP, OTHER] {
            assert!(self.newest_release(app).starts_with("Detach "), "{}", self.newest_release(app));
        }
        let gone = ask_database(&url, "SELECT 1");
        assert!(
            gone.status != 0 && gone.stderr.contains("password authentication failed"),
            "{}",
            gone.text()
        );
        self.say(&["addons:destroy", "second-db", "--app", APP, "--confirm", APP, "--wait"]);
        self.say(&["addons", "--app", APP]);
        // The name is free again.
        self.say(&["addons:create", "heroku-postgresql", "--name", "second-db", "--app", APP]);
        self.say(&["addons:destroy", "second-db", "--confirm", APP]);
    }

    /// An app goes while its add-on is made, and nothing is left of either.
    fn destroy_while_it_is_made(&mut self) {
        let short_lived = "addons-short";
        let _ = self.cli.heroku(&["create", short_lived, "--no-remote"]).succeeded();
        let making =
            self.cli.follow(&["addons:create", "heroku-postgresql:standard-0", "--app", short_lived]);
        wait_until("the add-on to be on its way", Duration::from_secs(60), || {
            let rows = self.server.sql("SELECT name FROM addons WHERE state = 'provisioning'");
            (!rows.trim().is_empty()).then_some(())
        });
        let destroy = ["apps:destroy", "--app", short_lived, "--confirm", short_lived];
        let _ = self.cli.heroku(&destroy).succeeded();
        drop(making);
        let count = |table: &str| self.server.sql(&format!("SELECT count(*) FROM {table}")).trim().to_owned();
        wait_until("nothing to be left of it", Duration::from_secs(60), || {
            let left = ["addons", "attachments", "data_servers"].map(count);
            // What is left is the first database, and the server that it shares with nobody now.
            (left == ["1", "1", "1"]).then_some(())
        });
        let volumes = std::fs::read_dir(self.server.data().join("volumes")).unwrap().count();
        assert_eq!(volumes, 1, "a volume is left over");
        assert_eq!(self.api("/addons").as_array().unwrap().len(), 1);
    }
}
