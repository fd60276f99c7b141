//! A server is backed up while it works, and comes back elsewhere.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Cli, Repo, Server, ask_database, may_run, run, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

const APP: &str = "kept";

fn versions(server: &Server) -> Vec<i64> {
    let releases = server.http().api("GET", &format!("/apps/{APP}/releases")).with_status(200).json();
    let mut versions: Vec<_> =
        releases.as_array().unwrap().iter().map(|release| release["version"].as_i64().unwrap()).collect();
    versions.sort_unstable();
    versions
}

/// An app with two deploys, config, two web dynos and a log, its repository, and who made it.
fn deployed() -> (Server, Cli, Repo) {
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.heroku(&["config:set", "GREETING=hello", "--app", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    repo.write("version.txt", "second\n");
    repo.commit("Second");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    cli.heroku(&["ps:scale", "web=2", "--app", APP]).succeeded();
    server.wait_for_dynos(APP, &["web.1", "web.2"]);
    server.get(APP, "/before-the-backup").with_status(200);
    wait_until("the log to have the request", Duration::from_secs(30), || {
        cli.heroku(&["logs", "--app", APP]).text().contains("seen \"GET /before-the-backup").then_some(())
    });
    (server, cli, repo)
}

/// Backs up while requests come in and config changes; nobody notices.
fn back_up_under_traffic(server: &Server, file: &Path) -> Value {
    let (http, host) = (server.http(), server.host(APP));
    let (over, sent, failures) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let answer = http.app(&host, "/traffic");
                // Changes of config restart dynos: one that has just ended is H10 to H14 at worst, never a refusal.
                if answer.status == 0 {
                    failures.lock().unwrap().push(answer.error);
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let change = json!({ "NUMBER": number.to_string() });
                http.api_json("PATCH", &format!("/apps/{APP}/config-vars"), &change).with_status(200);
            }
        });
        wait_until("traffic", Duration::from_secs(30), || {
            (sent.load(Ordering::Relaxed) > 5 && versions(server).len() > 6).then_some(())
        });
        let outcome = server.paddockd("backup", &["--to", file.to_str().unwrap(), "--json"]);
        over.store(true, Ordering::Relaxed);
        assert_eq!(failures.lock().unwrap().as_slice(), [""; 0]);
        serde_json::from_str(&outcome.succeeded().stdout).unwrap()
    })
}

#[test]
fn a_backup_of_a_working_server_comes_back_elsewhere() {
    if !may_run("backup and restore") {
        return;
    }
    let (first, cli, repo) = deployed();
    let folder = TempDir::with_prefix("paddock-backup-").unwrap();
    let file = folder.path().join("paddock.backup");
    let told = back_up_under_traffic(&first, &file);
    assert_eq!((&told["apps"], &told["master_key"]), (&json!(1), &json!(true)), "{told}");
    let metadata = std::fs::metadata(&file).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "it holds the master key");
    assert_eq!(told["archive_bytes"], metadata.len());
    let at_the_end = versions(&first);
    drop((cli, first));

    let second = Server::restored(&file, &[]);
    let cli = Cli::new(&second);
    cli.heroku(&["apps"]).succeeded().saying(APP);
    let kept = versions(&second);
    let newest = i64::try_from(kept.len()).unwrap();
    assert_eq!(kept, (1..=newest).collect::<Vec<_>>(), "a moment of the first server: no release is missing");
    assert!(kept.len() >= 6 && kept.len() <= at_the_end.len());
    // One moment of the database: the config is the newest release's.
    let config: Value =
        serde_json::from_str(&cli.heroku(&["config", "--json", "--app", APP]).stdout).unwrap();
    assert_eq!(config["GREETING"], "hello");
    let release = second.http().api("GET", &format!("/apps/{APP}/releases/{newest}/config-vars"));
    assert!(release.status == 404 || release.json() == config, "{}", release.body);
    cli.heroku(&["logs", "--num", "1500", "--app", APP]).succeeded().saying("GET /before-the-backup");
    second.wait_for_dynos(APP, &["web.1", "web.2"]);
    assert_eq!(second.answers(APP, "/").json()["version"], "second");

    // It goes on from there: a rollback to the first deploy, and a push on top of the old history.
    cli.heroku(&["rollback", "v4", "--app", APP]).succeeded();
    wait_until("the first deploy", Duration::from_secs(60), || {
        let answer = second.get(APP, "/");
        (answer.status == 200 && answer.json()["version"] != "second").then_some(())
    });
    cli.heroku_in(repo.path(), &["git:remote", "--app", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().saying("Everything up-to-date");
    repo.write("version.txt", "third\n");
    repo.commit("Third");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    wait_until("the third deploy", Duration::from_secs(60), || {
        let answer = second.get(APP, "/");
        (answer.status == 200 && answer.json()["version"] == "third").then_some(())
    });
}

#[test]
fn a_stopped_server_is_backed_up_and_the_key_may_stay_apart() {
    if !may_run("backup of a stopped server") {
        return;
    }
    let folder = TempDir::with_prefix("paddock-backup-").unwrap();
    let key = folder.path().join("master");
    let first = Server::start_with(&["--master-key-file", key.to_str().unwrap()]);
    let cli = Cli::new(&first);
    cli.heroku(&["create", APP]).succeeded();
    cli.heroku(&["config:set", "GREETING=hello", "--app", APP]).succeeded();
    first.paddockd("stop", &[]).succeeded();
    assert!(!first.data().join("keys").exists(), "the key is where it was said to be");

    let (with, without) = (folder.path().join("with"), folder.path().join("without"));
    let to = |file: &Path| file.to_str().unwrap().to_owned();
    let key_option = ["--master-key-file", key.to_str().unwrap()];
    first.paddockd("backup", &["--to", &to(&with)]).failed_saying("master");
    assert!(!with.exists() && !folder.path().join("with.part").exists(), "nothing half made stays");
    first
        .paddockd("backup", &["--to", &to(&without), "--without-master-key", key_option[0], key_option[1]])
        .succeeded()
        .saying("The master key is not in it");
    drop(first);

    let refused = Server::restore(&without, &folder.path().join("nowhere"), &[]);
    refused.failed_saying("--master-key-file");
    let second = Server::restored(&without, &key_option);
    let cli = Cli::new(&second);
    cli.heroku(&["config:get", "GREETING", "--app", APP]).succeeded().saying("hello");
    let refused = Server::restore(&without, &second.data(), &key_option);
    refused.failed_saying("another server");
}

#[test]
fn a_backup_goes_through_a_pipe_and_a_folder_keeps_the_newest() {
    if !may_run("backup through a pipe") {
        return;
    }
    let folder = TempDir::with_prefix("paddock-backup-").unwrap();
    let server = Server::start();
    let cli = Cli::new(&server);
    cli.heroku(&["create", APP]).succeeded();
    cli.heroku(&["config:set", "GREETING=piped", "--app", APP]).succeeded();

    // Of a shell, as an operator writes it.
    let data = server.data().display().to_string();
    let program = server.program(&[]).get_program().to_owned();
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(&program).arg(&data).current_dir(folder.path());
        run(shell, b"", Duration::from_secs(120))
    };
    let told = shell("\"$1\" backup --data \"$2\" --to - | cat > piped").succeeded();
    assert!(told.stdout.is_empty(), "{}", told.stdout);
    let _ = told.saying("to standard output").saying("The master key is in it");
    assert!(!folder.path().join("-").exists());
    shell("\"$1\" backup --data \"$2\" --to - --keep 3 | cat").saying("--keep needs a folder");
    // A terminal is no place for it.
    let script = format!("'{}' backup --data '{data}' --to -", program.display());
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &script, "/dev/null"]);
    run(terminal, b"", Duration::from_secs(60)).failed_saying("not for a terminal");

    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    for old in ["paddock-20200101T000000Z.backup", "paddock-20210101T000000Z.backup", "of-somebody-else"] {
        std::fs::write(kept.join(old), "").unwrap();
    }
    server.paddockd("backup", &["--to", kept.to_str().unwrap(), "--keep", "2"]).succeeded();
    let mut names: Vec<_> = std::fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[..2], ["of-somebody-else", "paddock-20210101T000000Z.backup"]);
    let newest = std::fs::read(kept.join(&names[2])).unwrap();
    assert!(newest.starts_with(&[0x1f, 0x8b]), "it is compressed");
    server.paddockd("stop", &["--stop-dynos"]).succeeded();
    drop(server);

    let second = Server::restored(&folder.path().join("piped"), &[]);
    let cli = Cli::new(&second);
    cli.heroku(&["config:get", "GREETING", "--app", APP]).succeeded().saying("piped");
}

/// Both databases of the app, and what they have in them.
const DATABASES: [&str; 2] = ["DATABASE_URL", "OWN_URL"];
const FILL: &str = r"
CREATE EXTENSION citext;
CREATE SCHEMA other;
CREATE TABLE people (id bigserial PRIMARY KEY, name citext NOT NULL, note text);
INSERT INTO people (name, note) SELECT 'Name' || g, md5(g::text) FROM generate_series(1, 2000) g;
CREATE TABLE other.numbers AS SELECT g AS n, g * g AS square FROM generate_series(1, 500) g;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 2 * n';
SELECT lo_from_bytea(0, '\x70616464');
";
const CHECKSUMS: &str = "SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM people p \
    UNION ALL SELECT md5(string_agg(n::text, ',' ORDER BY n.n)) FROM other.numbers n \
    UNION ALL SELECT twice(21)::text UNION ALL SELECT count(*)::text FROM pg_largeobject_metadata \
    UNION ALL SELECT bool_and(tableowner = current_role)::text FROM pg_tables WHERE tablename IN ('people', 'numbers')";

fn sql(server: &Server, variable: &str, sql: &str) -> String {
    let vars = server.http().api("GET", &format!("/apps/{APP}/config-vars")).with_status(200).json();
    let url = vars[variable].as_str().unwrap().to_owned();
    ask_database(&url, sql).succeeded().stdout.trim().to_owned()
}

/// An app with a database in a shared server and one with a server of its own, which has a credential that may read one table
/// and has another of its own.
fn with_databases(server: &Server, cli: &Cli) {
    let heroku = |arguments: &[&str]| cli.heroku(&[arguments, &["--app", APP]].concat()).succeeded();
    cli.heroku(&["create", APP]).succeeded();
    heroku(&["addons:create", "heroku-postgresql:essential-0", "--name", "shared-one", "--wait"]);
    heroku(&["addons:create", "heroku-postgresql:standard-0", "--name", "own-one", "--as", "OWN", "--wait"]);
    heroku(&["pg:credentials:create", "OWN", "--name", "reporting"]);
    heroku(&["addons:attach", "own-one", "--credential", "reporting", "--as", "REPORTING"]);
    for database in DATABASES {
        sql(server, database, FILL);
    }
    let reader = sql(server, "REPORTING_URL", "SELECT current_role");
    sql(
        server,
        "OWN_URL",
        &format!("GRANT SELECT ON people TO {reader}; GRANT CREATE ON SCHEMA public TO {reader}"),
    );
    let owner = sql(server, "OWN_URL", "SELECT current_role");
    let own = "CREATE TABLE report (id serial PRIMARY KEY, day date); CREATE FUNCTION today() RETURNS date LANGUAGE sql AS 'SELECT now()::date'";
    sql(server, "REPORTING_URL", &format!("{own}; GRANT SELECT ON report TO {owner}"));
}

#[test]
fn what_is_in_databases_comes_back_elsewhere() {
    if !may_run("backup of databases") {
        return;
    }
    let folder = TempDir::with_prefix("paddock-backup-").unwrap();
    let mut first = Server::start();
    let cli = Cli::new(&first);
    with_databases(&first, &cli);
    let before = DATABASES.map(|database| sql(&first, database, CHECKSUMS));
    let file = folder.path().join("whole");
    let to = |file: &Path| file.to_str().unwrap().to_owned();
    let told = first.paddockd("backup", &["--to", &to(&file), "--json"]).succeeded();
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&told["databases"], &told["databases_lost"]), (&json!(2), &json!([])), "{told}");
    let left = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^[st][0-9a-f]{13}$'";
    assert_eq!(
        DATABASES.map(|database| sql(&first, database, left)),
        ["0", "0"],
        "nobody who dumped is left"
    );
    one_that_cannot_be_dumped_is_told(&mut first, &folder.path().join("lacking"));
    drop((cli, first));

    let second = Server::restored(&file, &[]);
    let cli = Cli::new(&second);
    cli.heroku(&["pg:wait", "--app", APP]).succeeded();
    wait_until("the databases to be filled", Duration::from_secs(60), || {
        std::fs::read_dir(second.data().join("databases")).unwrap().next().is_none().then_some(())
    });
    let after = DATABASES.map(|database| sql(&second, database, CHECKSUMS));
    assert_eq!(after, before);
    assert_eq!(
        DATABASES.map(|database| sql(&second, database, left)),
        ["0", "0"],
        "nobody who filled is left"
    );
    assert_eq!(sql(&second, "REPORTING_URL", "SELECT count(*) FROM people"), "2000");
    let vars = second.http().api("GET", &format!("/apps/{APP}/config-vars")).json();
    ask_database(vars["REPORTING_URL"].as_str().unwrap(), "DELETE FROM people")
        .failed_saying("permission denied");
    let own = "INSERT INTO report (day) VALUES (today()); DROP FUNCTION today(); SELECT count(*) FROM report";
    assert_eq!(sql(&second, "REPORTING_URL", own), "1", "what was its own still is");
    assert_eq!(sql(&second, "OWN_URL", "SELECT count(*) FROM report"), "1");
    sql(&second, "DATABASE_URL", "INSERT INTO people (name) VALUES ('later')");
    let log = cli.heroku(&["logs", "--num", "100", "--app", APP]).succeeded().stdout;
    assert!(log.contains("DATABASE was filled from the server's backup"), "{log}");
    at_rest_databases_are_left_out_by_name_only(&second, folder.path());
}

/// The disk has lost the file of a table. Which volume it is on, the number of the database's server says.
fn lose_a_table(server: &Server) {
    let ask = "SELECT system_identifier || ' ' || pg_relation_filepath('people') FROM pg_control_system()";
    let told = sql(server, "OWN_URL", ask);
    let (number, path) = told.split_once(' ').unwrap();
    let number: u64 = number.parse().unwrap();
    let volumes = std::fs::read_dir(server.data().join("volumes")).unwrap().flatten();
    let mut folders = volumes
        .flat_map(|volume| std::fs::read_dir(volume.path().join("data")).into_iter().flatten().flatten());
    let is_own = |folder: &Path| {
        let control = std::fs::read(folder.join("global/pg_control"));
        control.is_ok_and(|control| control.starts_with(&number.to_le_bytes()))
    };
    let own = folders.find(|folder| is_own(&folder.path())).unwrap().path();
    std::fs::remove_file(own.join(path)).unwrap();
}

/// What is lacking is named, the status says so, and the file is none that somebody takes for whole.
fn one_that_cannot_be_dumped_is_told(server: &mut Server, file: &Path) {
    server.announce("a database is not in a backup");
    lose_a_table(server);
    let told = server.paddockd("backup", &["--to", file.to_str().unwrap()]);
    let told = told.failed_saying("the backup is incomplete");
    assert!(told.text().contains("own-one: ") && !told.text().contains("shared-one"), "{}", told.text());
    assert!(!file.exists() && file.with_extension("incomplete").exists());
}

fn at_rest_databases_are_left_out_by_name_only(server: &Server, folder: &Path) {
    server.paddockd("stop", &["--stop-dynos"]).succeeded();
    let file = folder.join("at-rest");
    let to = file.to_str().unwrap();
    let _ = server.paddockd("backup", &["--to", to]).failed_saying("--without-databases");
    assert!(!file.exists());
    let _ =
        server.paddockd("backup", &["--to", to, "--without-databases"]).succeeded().saying("was left out");
    let restored = Server::restore(&file, &folder.join("elsewhere"), &[]).succeeded();
    assert!(restored.text().contains("will be empty: own-one, shared-one"), "{}", restored.text());
}
