//! An app with its database, as people begin: add-on first, then the push; and what becomes of both when things end.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::fs;
use std::time::Duration;

use e2e::{
    Cli, DatabaseSession, Outcome, Repo, Server, ask_database, instance_letters, may_run, run, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const APP: &str = "guestbook";
const STRANGER: &str = "guestbook-stranger";

struct Journey {
    server: Server,
    cli: Cli,
    repo: Repo,
}

#[test]
fn an_app_keeps_its_rows_through_rollbacks_kills_and_restarts() {
    if !may_run("an app with a database") {
        return;
    }
    let mut server = Server::start();
    for words in ["ended by itself", "adopt", "interrupted", "router"] {
        server.announce(words);
    }
    let cli = Cli::new(&server);
    let mut journey = Journey { server, cli, repo: Repo::of_app("guestbook") };
    journey.deploy();
    journey.roll_back();
    journey.who_reaches_it();
    journey.kill_the_database();
    journey.kill_serve();
    journey.stop_everything();
}

impl Journey {
    fn heroku(&self, arguments: &[&str]) -> Outcome {
        self.cli.heroku_in(self.repo.path(), arguments)
    }

    fn api(&self, path: &str) -> Value {
        self.server.http().api("GET", path).with_status(200).json()
    }

    fn url(&self) -> String {
        self.api(&format!("/apps/{APP}/config-vars"))["DATABASE_URL"].as_str().unwrap().to_owned()
    }

    fn newest_release(&self) -> Value {
        self.api(&format!("/apps/{APP}/releases")).as_array().unwrap().last().unwrap().clone()
    }

    fn entries(&self) -> Value {
        self.server.answers(APP, "/").json()["entries"].clone()
    }

    fn sign(&self, name: &str) {
        self.server.get(APP, &format!("/sign/{name}")).with_status(200);
    }

    /// The release phase of the push makes the table; that of the add-on's own release is skipped.
    fn deploy(&mut self) {
        let _ = self.heroku(&["create", APP]).succeeded();
        let _ = self.heroku(&["addons:create", "heroku-postgresql"]).succeeded();
        let release = self.newest_release();
        assert_eq!((&release["status"], &release["output_stream_url"]), (&json!("succeeded"), &Value::Null));
        let pushed = self.cli.git(self.repo.path(), &["push", "heroku", "main"]).succeeded();
        assert!(pushed.stderr.contains("migrated, 0 entries"), "{}", pushed.stderr);
        assert_eq!(self.entries(), json!([]));
        self.sign("Ada");
        assert_eq!(self.entries(), json!(["Ada"]));
        assert_eq!(self.server.get(APP, "/url").json()["url"], self.url());
        let count = ask_database(&self.url(), "SELECT count(*) FROM entries").succeeded().stdout;
        assert_eq!(count, "1\n");
    }

    /// To a release from before the database that is attached now: the code and the user's variables of then, the address of now.
    fn roll_back(&mut self) {
        let then = self.newest_release()["version"].as_u64().unwrap();
        let old = self.url();
        let _ = self.heroku(&["addons:create", "heroku-postgresql", "--name", "guestbook-new"]).succeeded();
        let _ = self.heroku(&["pg:promote", "guestbook-new"]).succeeded();
        let new = self.url();
        assert_ne!(new, old);
        let _ = self.heroku(&["rollback", &format!("v{then}")]).succeeded();
        assert_eq!(self.url(), new);
        wait_until("a dyno of that release", Duration::from_secs(90), || {
            let answer = self.server.get(APP, "/url");
            (answer.status == 200 && answer.json()["url"] == new).then_some(())
        });
        // And back to the first, whose rows are all there.
        let _ = self.heroku(&["pg:promote", "HEROKU_POSTGRESQL_AQUA"]).succeeded();
        assert_eq!(self.url(), old);
        wait_until("the rows to be back", Duration::from_secs(90), || {
            let answer = self.server.get(APP, "/");
            (answer.status == 200 && answer.json()["entries"] == json!(["Ada"])).then_some(())
        });
        let _ = self.heroku(&["addons:destroy", "guestbook-new", "--confirm", APP]).succeeded();
    }

    fn who_reaches_it(&mut self) {
        let psql = "psql \"$DATABASE_URL\" -Atc 'SELECT name FROM entries'";
        let outcome = self.heroku(&["run", "--exit-code", psql]).succeeded();
        assert!(outcome.stdout.contains("Ada"), "{}", outcome.text());

        self.by_name();

        let stranger =
            Repo::of_files(&[("Procfile", "web: python3 -m http.server $PORT\n"), ("index.html", "hello\n")]);
        let _ = self.cli.heroku_in(stranger.path(), &["create", STRANGER]).succeeded();
        let _ = self.cli.git(stranger.path(), &["push", "heroku", "main"]).succeeded();
        let reach = |app: &str| {
            let url = self.url();
            let address = url.split_once('@').unwrap().1.split_once(':').unwrap().0.to_owned();
            let look = format!(
                "python3 -c 'import socket; socket.create_connection((\"{address}\", 5432), 4); print(\"through\")'"
            );
            self.cli.heroku(&["run", "--exit-code", "--app", app, &look])
        };
        let _ = reach(APP).succeeded().saying("through");
        let refused = reach(STRANGER);
        assert!(refused.status != 0 && !refused.stdout.contains("through"), "{}", refused.text());
        // Attached, it gets through; detached, it does not any more.
        let addon = self.api(&format!("/apps/{APP}/addons"))[0]["name"].as_str().unwrap().to_owned();
        let _ = self.cli.heroku(&["addons:attach", &addon, "--app", STRANGER]).succeeded();
        let _ = reach(STRANGER).succeeded().saying("through");
        let _ = self.cli.heroku(&["addons:detach", "DATABASE", "--app", STRANGER]).succeeded();
        assert_ne!(reach(STRANGER).status, 0);
        let _ = self.cli.heroku(&["apps:destroy", "--app", STRANGER, "--confirm", STRANGER]).succeeded();
    }

    /// The database has a name besides its address, for which its server proves itself.
    fn by_name(&self) {
        let addon = self.api(&format!("/apps/{APP}/addons"))[0]["id"].as_str().unwrap().to_owned();
        let (login, at) = self.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let (_, rest) = at.split_once(':').unwrap();
        let name = format!("{addon}.data.{}", self.server.domain());
        let ca = fs::read_to_string(self.server.data().join("ca/data/ca.pem")).unwrap().replace('\n', "\\n");
        let ask = format!(
            "printf %b '{ca}' > /tmp/ca.pem; psql '{login}@{name}:{rest}?sslmode=verify-full&sslrootcert=/tmp/ca.pem' \
             -Atc 'SELECT name FROM entries'"
        );
        let outcome = self.heroku(&["run", "--exit-code", &ask]).succeeded();
        assert!(outcome.stdout.contains("Ada"), "{}", outcome.text());
    }

    /// Every process of the database dies; nobody does anything about it.
    fn kill_the_database(&mut self) {
        let before = self.url();
        let killed = postgres_processes(&self.server);
        assert!(killed.len() > 3, "{killed:?}");
        for pid in &killed {
            // Its children may have gone with it.
            let _ = kill_process(*pid, Signal::KILL);
        }
        wait_until("the database to be back", Duration::from_secs(60), || {
            let answer = self.server.get(APP, "/");
            let others = postgres_processes(&self.server);
            let is_new = !others.is_empty() && others.iter().all(|pid| !killed.contains(pid));
            (answer.status == 200 && is_new && answer.json()["entries"] == json!(["Ada"])).then_some(())
        });
        assert_eq!(self.url(), before);
        let _ = self.heroku(&["pg:wait"]).succeeded();
        let _ = self.heroku(&["pg:info"]).succeeded().saying("Available");
        self.sign("Grace");
    }

    /// The server dies and is started again: a session goes on all the while, and so does the app.
    fn kill_serve(&mut self) {
        let mut session = DatabaseSession::open(&self.url(), self.cli.home(), "held");
        session.send("BEGIN; INSERT INTO entries (name) VALUES ('Edsger'); SELECT 'before';");
        session.wait_for("before");
        let processes = postgres_processes(&self.server);
        self.server.kill9_serve();
        session.send("SELECT 'meanwhile';");
        session.wait_for("meanwhile");
        assert_eq!(self.entries(), json!(["Ada", "Grace"]));
        self.server.restart();
        let _ = self.heroku(&["pg:wait"]).succeeded();
        session.send("COMMIT; SELECT 'after';");
        session.wait_for("after");
        assert_eq!(self.entries(), json!(["Ada", "Grace", "Edsger"]));
        let now = postgres_processes(&self.server);
        assert!(processes.iter().filter(|pid| now.contains(pid)).count() > 3, "{processes:?} and {now:?}");
    }

    /// Stopped with all that it runs: the database writes what it has, and the next start brings it back.
    fn stop_everything(&mut self) {
        let before = self.url();
        let _ = self.server.paddockd("stop", &["--stop-dynos"]).succeeded();
        self.server.wait_dead();
        assert_eq!(postgres_processes(&self.server), []);
        for folder in data_folders(&self.server) {
            assert_eq!(cluster_state(&folder), "shut down", "{}", folder.display());
        }
        self.server.restart();
        assert_eq!(self.url(), before);
        assert_eq!(self.entries(), json!(["Ada", "Grace", "Edsger"]));
        self.sign("Barbara");
        assert_eq!(ask_database(&before, "SELECT count(*) FROM entries").succeeded().stdout, "4\n");
    }
}

/// The processes of PostgreSQL in containers of this server.
fn postgres_processes(server: &Server) -> Vec<Pid> {
    let letters = instance_letters(&server.data());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let is_postgres = read("comm").trim() == "postgres" && read("cgroup").contains(&letters);
        let pid = entry.file_name().to_string_lossy().parse().ok().filter(|_| is_postgres);
        found.extend(pid.and_then(Pid::from_raw));
    }
    found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
    found
}

/// Where the clusters of this server's data servers are.
fn data_folders(server: &Server) -> Vec<std::path::PathBuf> {
    let volumes = fs::read_dir(server.data().join("volumes")).unwrap().flatten();
    let versions = volumes.flat_map(|volume| fs::read_dir(volume.path().join("data")).unwrap().flatten());
    let found: Vec<_> =
        versions.map(|entry| entry.path()).filter(|path| path.join("PG_VERSION").exists()).collect();
    assert!(!found.is_empty(), "there is no cluster");
    found
}

fn cluster_state(folder: &std::path::Path) -> String {
    let version = fs::read_to_string(folder.join("PG_VERSION")).unwrap();
    let program = format!("/usr/lib/postgresql/{}/bin/pg_controldata", version.trim());
    let mut command = std::process::Command::new(program);
    command.arg(folder).env("LC_ALL", "C");
    let told = run(command, b"", Duration::from_secs(20)).succeeded().stdout;
    let line = told.lines().find_map(|line| line.strip_prefix("Database cluster state:"));
    line.unwrap().trim().to_owned()
}
