//! Backups of a database, with the official CLI: captured, downloaded, put back here and in a PostgreSQL of somebody's own.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{Cli, Outcome, Server, may_run, run};
use paddock_testkit::postgres::PostgresServer;

const APP: &str = "kept-data";
/// A loopback address that the operator lets tenants' addresses lead to; no other one.
const OUTSIDE: &str = "127.0.0.9";
const PATIENCE: Duration = Duration::from_secs(120);

/// What a user has: two tables, one of them with a type of an extension, a function, a large object, rows that look like commands.
const FILL: &str = r"
CREATE EXTENSION citext;
CREATE SCHEMA other;
CREATE TABLE people (id bigserial PRIMARY KEY, name citext NOT NULL, note text);
INSERT INTO people (name, note) SELECT 'Name' || g, md5(g::text) FROM generate_series(1, 2000) g;
INSERT INTO people (name, note) VALUES ('odd', E'COPY t FROM PROGRAM ''id'';\n\\! id\n\\connect postgres\n\\.');
CREATE TABLE other.numbers AS SELECT g AS n, g * g AS square FROM generate_series(1, 500) g;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2 * n; END';
CREATE VIEW short AS SELECT name FROM people WHERE id < 10;
SELECT lo_from_bytea(0, '\x70616464');
";
const CHECKSUMS: &str = "SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM people p \
    UNION ALL SELECT md5(string_agg(n::text, ',' ORDER BY n.n)) FROM other.numbers n \
    UNION ALL SELECT twice(21)::text UNION ALL SELECT count(*)::text FROM short \
    UNION ALL SELECT count(*)::text FROM pg_largeobject_metadata";

/// Serves the files of a folder at an address.
struct Files(Child, String);

impl Files {
    fn of(folder: &Path) -> Files {
        let script = "import functools, http.server, sys\n\
            handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[2])\n\
            server = http.server.ThreadingHTTPServer((sys.argv[1], 0), handler)\n\
            print(server.server_address[1], flush=True)\nserver.serve_forever()\n";
        let mut command = Command::new("python3");
        command.args(["-c", script, OUTSIDE]).arg(folder);
        let mut program = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Files(program, format!("http://{OUTSIDE}:{}", line.trim()))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A user's database, by the address that the app has.
struct Database(String);

impl Database {
    fn of(cli: &Cli, variable: &str) -> Database {
        Database(cli.heroku(&["config:get", variable, "-a", APP]).succeeded().stdout.trim().to_owned())
    }

    fn sql(&self, sql: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args([&self.0, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]).env("PGSSLMODE", "require");
        run(psql, b"", PATIENCE).succeeded().stdout
    }
}

fn heroku(cli: &Cli, arguments: &[&str]) -> Outcome {
    cli.heroku(&[arguments, &["-a", APP]].concat())
}

#[test]
fn a_database_is_backed_up_downloaded_and_put_back() {
    if !may_run("backups of a database") {
        return;
    }
    let Some(plain) = PostgresServer::shared() else { return };
    let server = Server::start_with(&["--allow-egress", "127.0.0.9/32"]);
    let cli = Cli::new(&server);
    let folder = tempfile::tempdir().unwrap();
    cli.heroku(&["create", APP]).succeeded();
    heroku(&cli, &["addons:create", "heroku-postgresql", "--wait"]).succeeded();
    let database = Database::of(&cli, "DATABASE_URL");
    database.sql(FILL);
    let before = database.sql(CHECKSUMS);

    // A variable of the app's that no program of PostgreSQL's knows is no matter of the platform's own.
    heroku(&cli, &["config:set", "PGSSLMODE=no-verify"]).succeeded();
    let captured = heroku(&cli, &["pg:backups:capture"]).succeeded();
    assert!(captured.text().contains("Backing up DATABASE to b001... done"), "{}", captured.text());
    let listed = heroku(&cli, &["pg:backups"]).succeeded().stdout;
    assert!(
        listed.contains("b001") && listed.contains("Completed") && listed.contains("DATABASE"),
        "{listed}"
    );
    let info = heroku(&cli, &["pg:backups:info", "b001"]).succeeded().stdout;
    assert!(info.contains("Completed") && info.contains("Dumping DATABASE by pg_dump"), "{info}");

    let dump = folder.path().join("latest.dump");
    heroku(&cli, &["pg:backups:download", "b001", "-o", dump.to_str().unwrap()]).succeeded();
    let url = heroku(&cli, &["pg:backups:url", "b001"]).succeeded().stdout;
    assert!(url.starts_with("https://") && url.trim().lines().count() == 1, "{url}");
    let secret = url.trim().rsplit('/').next().unwrap().to_owned();
    assert!(!server.log().contains(&secret), "what opens a backup is in no log");
    put_into_a_plain_server(&plain, &dump, &before);

    database.sql("DELETE FROM people WHERE id % 2 = 0; DROP TABLE other.numbers; CREATE TABLE later (n int)");
    let restored =
        heroku(&cli, &["pg:backups:restore", "b001", "DATABASE_URL", "--confirm", APP]).succeeded();
    assert!(restored.text().contains("Restoring... done"), "{}", restored.text());
    assert_eq!(database.sql(CHECKSUMS), before);
    assert_eq!(database.sql("SELECT to_regclass('later')").trim(), "", "what came after the backup is gone");
    let owners = database.sql(
        "SELECT DISTINCT tableowner = current_role FROM pg_tables WHERE schemaname IN ('public', 'other')",
    );
    assert_eq!(owners.trim(), "t", "all of it is the user's own");
    let left = database.sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^[st][0-9a-f]{13}$'");
    assert_eq!(left.trim(), "0", "nobody who moved data is left");

    bad_dumps_change_nothing(&cli, &server, folder.path(), &dump, &database, &before);
    copies_and_schedules(&cli, &before);
    ends_and_leaves_nothing(&cli, &server);
}

/// By the machine's own program, without preparation.
fn put_into_a_plain_server(plain: &PostgresServer, dump: &Path, before: &str) {
    assert!(std::fs::read(dump).unwrap().starts_with(b"PGDMP"));
    let fresh = plain.database();
    let mut restore = Command::new("pg_restore");
    restore.args(["--no-owner", "--no-acl", "-d", fresh.url()]).arg(dump);
    let restored = run(restore, b"", PATIENCE).succeeded();
    assert_eq!(restored.stderr, "", "not one complaint");
    let rows = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&fresh.sql(CHECKSUMS)), rows(before));
    let mut list = Command::new("pg_restore");
    list.arg("-l").arg(dump);
    let listed = run(list, b"", PATIENCE).succeeded().stdout;
    assert!(!listed.contains("_heroku"), "{listed}");
}

/// Addresses that lead to no dump, or where tenants may not go.
fn bad_dumps_change_nothing(
    cli: &Cli,
    server: &Server,
    folder: &Path,
    dump: &Path,
    database: &Database,
    before: &str,
) {
    let bytes = std::fs::read(dump).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write("page.html", b"<!DOCTYPE html><html>Sign in</html>");
    write("plain.sql", b"--\n-- PostgreSQL database dump\n--\nDROP SCHEMA public CASCADE;\n");
    write("empty.dump", b"");
    // Its list is whole, its data is not.
    write("cut.dump", &bytes[..bytes.len() - 3000]);
    let files = Files::of(folder);
    let at = |name: &str| format!("{}/{name}?X-Amz-Signature=sesame%2Fopen", files.1);
    for (address, reason) in [
        (at("page.html"), "a web page"),
        (at("plain.sql"), "SQL as text"),
        (at("empty.dump"), "nothing"),
        (at("cut.dump"), "cannot be read"),
        (at("missing"), "404"),
        (files.1.replace(OUTSIDE, "127.0.0.1") + "/latest.dump", "--allow-egress"),
        ("https://169.254.169.254/latest.dump".to_owned(), "does not fetch from"),
    ] {
        let restored = heroku(cli, &["pg:backups:restore", &address, "DATABASE_URL", "--confirm", APP]);
        let said = restored.failed_saying("did not finish");
        assert!(said.text().contains(reason), "{address}: {}", said.text());
        let shown = heroku(cli, &["pg:backups"]).succeeded().text();
        assert!(!shown.contains("sesame") && shown.contains("Failed"), "{shown}");
        assert_eq!(database.sql(CHECKSUMS), before, "{address}");
    }
    database.sql("TRUNCATE people");
    heroku(cli, &["pg:backups:restore", &at("latest.dump"), "DATABASE_URL", "--confirm", APP]).succeeded();
    assert_eq!(database.sql(CHECKSUMS), before);
    assert!(!server.log().contains("sesame"), "what is secret in an address is in no log");
    let _ = heroku(cli, &["pg:backups:restore", "b999", "DATABASE_URL", "--confirm", APP])
        .failed_saying("b999 not found");
}

fn copies_and_schedules(cli: &Cli, before: &str) {
    heroku(cli, &["addons:create", "heroku-postgresql", "--as", "COPY", "--wait"]).succeeded();
    let copied = heroku(cli, &["pg:copy", "DATABASE_URL", "COPY_URL", "--confirm", "COPY"]).succeeded();
    assert!(copied.text().contains("Copying... done"), "{}", copied.text());
    assert_eq!(Database::of(cli, "COPY_URL").sql(CHECKSUMS), before);
    let _ = heroku(cli, &["pg:copy", "postgres://u:p@db.example:5432/x", "COPY", "--confirm", "COPY"])
        .failed_saying("not built");

    let at = |at: &str| heroku(cli, &["pg:backups:schedule", "DATABASE_URL", "--at", at]);
    at("02:00 america/new_york").succeeded();
    let _ = at("05:00 Mars/Olympus").failed_saying("There is no time zone");
    let _ = at("25:00").failed_saying("Invalid schedule format");
    let schedules = heroku(cli, &["pg:backups:schedules"]).succeeded().stdout;
    assert!(schedules.contains("DATABASE_URL: daily at 2:00 America/New_York"), "{schedules}");
    heroku(cli, &["pg:backups:unschedule", "DATABASE_URL"]).succeeded();
    let _ = heroku(cli, &["pg:backups:unschedule"]).failed_saying("No schedules");
}

fn ends_and_leaves_nothing(cli: &Cli, server: &Server) {
    let _ = heroku(cli, &["pg:backups:cancel"]).failed_saying("No active backups/transfers");
    let kept = server.data().join("backups");
    assert_eq!(files_in(&kept), 1);
    heroku(cli, &["pg:backups:delete", "b001", "--confirm", APP]).succeeded();
    assert_eq!(files_in(&kept), 0);
    let _ = heroku(cli, &["pg:backups:url"]).failed_saying("No backups");
    let captured = heroku(cli, &["pg:backups:capture", "COPY_URL"]).succeeded();
    assert!(!captured.text().contains("b001"), "a number is not given again: {}", captured.text());
    cli.heroku(&["apps:destroy", APP, "--confirm", APP]).succeeded();
    e2e::wait_until("the backups of a destroyed app are removed", PATIENCE, || {
        (files_in(&kept) == 0).then_some(())
    });
}

fn files_in(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let apps = entries.map(|entry| std::fs::read_dir(entry.unwrap().path()).map_or(0, Iterator::count));
    apps.sum()
}
