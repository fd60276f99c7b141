//! Apps as people write them, while the passwords of their databases change and requests come in: Django with migrations in its
//! release phase, and Node.js with a worker and a queue in PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{Cli, Http, Repo, Server, ask_database, may_run, pause, wait_until};
use serde_json::{Value, json};

/// Longest that a client may go without an answer while a password changes: `docs/contract` names it of rotations.
const LONGEST: Duration = Duration::from_secs(5);

struct Journey {
    server: Server,
    cli: Cli,
    notes: App,
    parcels: App,
}

struct App {
    name: &'static str,
    repo: Repo,
    /// The page by which a client adds a row.
    adds: &'static str,
}

/// What a client saw.
struct Seen {
    /// The longest time from one answer of 200 to the next.
    longest: Duration,
    failure: String,
}

#[test]
fn apps_answer_and_keep_every_row_while_passwords_rotate() {
    if !may_run("apps under load") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let app = |name, adds| App { name, repo: Repo::of_app(name), adds };
    let journey = Journey { server, cli, notes: app("notes", "/add/more"), parcels: app("parcels", "/send") };
    let said = journey.deploy();
    assert!(said[0].contains("Applying notes.0001_initial... OK"), "{}", said[0]);
    journey.server.get("notes", "/add/first").with_status(200);
    assert_eq!(journey.page("notes"), json!({ "fields": ["id", "text"], "notes": ["first"] }));
    journey.server.get("parcels", "/send").with_status(200);
    journey.carried("the first parcel", 1);
    journey.roll_back();
    journey.rotate();
}

impl Journey {
    fn apps(&self) -> [&App; 2] {
        [&self.notes, &self.parcels]
    }

    fn page(&self, app: &str) -> Value {
        self.server.answers(app, "/").json()
    }

    fn url(&self, app: &App) -> String {
        let path = format!("/apps/{}/config-vars", app.name);
        let vars = self.server.http().api("GET", &path).with_status(200).json();
        vars["DATABASE_URL"].as_str().unwrap().to_owned()
    }

    fn heroku(&self, app: &App, arguments: &[&str]) -> String {
        self.cli.heroku_in(app.repo.path(), arguments).succeeded().text()
    }

    /// Pushes both at a time; gives what git said of each.
    fn push(&self) -> [String; 2] {
        std::thread::scope(|scope| {
            let push =
                |app: &App| self.cli.git(app.repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
            self.apps().map(|app| scope.spawn(move || push(app))).map(|pushing| pushing.join().unwrap())
        })
    }

    fn deploy(&self) -> [String; 2] {
        for app in self.apps() {
            self.heroku(app, &["create", app.name]);
            self.heroku(app, &["addons:create", "heroku-postgresql"]);
        }
        let said = self.push();
        self.heroku(&self.parcels, &["ps:scale", "worker=1"]);
        said
    }

    /// Every parcel was carried, and none of them twice.
    fn carried(&self, what: &str, at_least: usize) {
        wait_until(what, Duration::from_secs(60), || {
            let page = self.server.get("parcels", "/");
            let page = (page.status == 200).then(|| page.json())?;
            assert!(page["most"].as_u64()? <= 1, "a parcel was carried twice: {page}");
            let sent = usize::try_from(page["sent"].as_u64()?).unwrap();
            (sent >= at_least && page["carried"] == page["sent"]).then_some(())
        });
    }

    /// The code of then, on the database of now: with the newer column, and with what was written meanwhile.
    fn roll_back(&self) {
        let (notes, parcels) = (&self.notes.repo, &self.parcels.repo);
        notes.write("notes/models.py", MODEL_WITH_STARS);
        notes.write("notes/migrations/0002_note_stars.py", MIGRATION_TO_STARS);
        notes.commit("Stars");
        parcels.write("version.txt", "second\n");
        parcels.commit("Second");
        let urls = self.apps().map(|app| self.url(app));
        let said = self.push();
        assert!(said[0].contains("Applying notes.0002_note_stars... OK"), "{}", said[0]);
        self.comes_to("notes", "fields", &json!(["id", "stars", "text"]));
        self.comes_to("parcels", "version", &json!("second"));
        self.server.get("notes", "/add/second").with_status(200);
        self.server.get("parcels", "/send").with_status(200);
        for app in self.apps() {
            self.heroku(app, &["rollback"]);
        }
        self.comes_to("notes", "fields", &json!(["id", "text"]));
        self.comes_to("parcels", "version", &json!("first"));
        assert_eq!(self.apps().map(|app| self.url(app)), urls);
        self.server.get("notes", "/add/third").with_status(200);
        assert_eq!(self.page("notes")["notes"], json!(["first", "second", "third"]));
        self.carried("the parcels of both versions", 2);
    }

    fn comes_to(&self, app: &str, field: &str, value: &Value) {
        wait_until(&format!("{app} to say {value}"), Duration::from_secs(90), || {
            let answer = self.server.get(app, "/");
            (answer.status == 200 && answer.json()[field] == *value).then_some(())
        });
    }

    fn rotate(&self) {
        let old = self.apps().map(|app| self.url(app));
        let over = AtomicBool::new(false);
        let answered = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let seen = std::thread::scope(|scope| {
            let http = self.server.http().bare();
            let clients = [0, 1].map(|index| {
                let (app, answered, over) = (self.apps()[index], &answered[index], &over);
                let (http, host) = (http.clone(), self.server.host(app.name));
                scope.spawn(move || ask_on(&http, &host, app.adds, answered, over))
            });
            // Ended also where something here fails, else the clients would be waited for for ever.
            let rotated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                more_of(&answered);
                self.rotate_both(&old);
                more_of(&answered);
            }));
            over.store(true, Ordering::Relaxed);
            let seen = clients.map(|client| client.join().unwrap());
            rotated.unwrap();
            seen
        });
        for (app, Seen { longest, failure }) in self.apps().iter().zip(&seen) {
            assert!(*longest <= LONGEST, "{}: {longest:?} without an answer: {failure}", app.name);
        }
        self.carried("what was sent meanwhile", answered[1].load(Ordering::Relaxed));
        for (app, old) in self.apps().iter().zip(&old) {
            let new = self.url(app);
            let user = old.split(['/', ':']).find(|part| part.starts_with('u')).unwrap();
            let roles = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{user}'");
            wait_until("the old login's end", Duration::from_secs(150), || {
                // Nobody is told of it, and a look is a program.
                pause(Duration::from_secs(1));
                (ask_database(&new, &roles).succeeded().stdout == "0\n").then_some(())
            });
            let _ = ask_database(old, "SELECT 1").failed_saying("password authentication failed");
        }
    }

    /// Until dynos with the new address serve.
    fn rotate_both(&self, old: &[String; 2]) {
        for (app, old) in self.apps().iter().zip(old) {
            self.heroku(app, &["pg:credentials:rotate", "--confirm", app.name]);
            let new = self.url(app);
            assert_ne!(new, *old);
            wait_until("a dyno with the new address", Duration::from_secs(90), || {
                let answer = self.server.get(app.name, "/url");
                (answer.status == 200 && answer.json()["url"] == new).then_some(())
            });
        }
        self.server.wait_for_dynos("parcels", &["web.1", "worker.1"]);
        self.server.wait_for_dynos("notes", &["web.1"]);
    }
}

/// Waits until each client has had some more answers.
fn more_of(answered: &[AtomicUsize; 2]) {
    let now = || answered.each_ref().map(|count| count.load(Ordering::Relaxed));
    let before = now();
    wait_until("answers to clients", Duration::from_secs(60), || {
        now().iter().zip(before).all(|(now, before)| *now > before + 10).then_some(())
    });
}

/// A client that asks an app for the same page again and again.
fn ask_on(http: &Http, host: &str, page: &str, answered: &AtomicUsize, over: &AtomicBool) -> Seen {
    let mut seen = Seen { longest: Duration::ZERO, failure: String::new() };
    let mut last = Instant::now();
    while !over.load(Ordering::Relaxed) {
        let answer = http.app(host, page);
        if answer.status == 200 {
            answered.fetch_add(1, Ordering::Relaxed);
            seen.longest = seen.longest.max(last.elapsed());
            last = Instant::now();
        } else {
            seen.failure = format!("{} {}{}", answer.status, answer.body, answer.error);
        }
        pause(Duration::from_millis(50));
    }
    seen.longest = seen.longest.max(last.elapsed());
    seen
}

const MODEL_WITH_STARS: &str = "\
from django.db import models


class Note(models.Model):
    text = models.TextField()
    stars = models.IntegerField(null=True)
";
const MIGRATION_TO_STARS: &str = "\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [('notes', '0001_initial')]
    operations = [migrations.AddField('note', 'stars', models.IntegerField(null=True))]
";
