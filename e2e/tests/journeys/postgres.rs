//! A server moves from SQLite to PostgreSQL, and the database restarts under it; its users notice nothing.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, run, wait_until};
use paddock_testkit::postgres::PostgresServer;

const APP: &str = "moving";
const PASSWORD: &str = "s3cr3t-of-the-database";

#[test]
fn a_server_moves_to_postgresql_and_outlives_its_restart() {
    if !may_run("move to PostgreSQL") {
        return;
    }
    let Some(postgres) = PostgresServer::start() else { return };
    let database = postgres.database();
    let mut server = Server::start_on_sqlite();
    for words in ["adopt", "interrupted", "router", "database", "could not look for jobs"] {
        server.announce(words);
    }
    let cli = Cli::new(&server);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    cli.heroku(&["config:set", "GREETING=hello", "-a", APP]).succeeded();
    server.wait_for_dynos(APP, &["web.1"]);
    let before = look(&cli);
    let process = server.answers(APP, "/").json()["started"].clone();

    let file = server.data().join("database-url");
    let url = database.url().replace("postgres@", &format!("postgres:{PASSWORD}@"));
    std::fs::write(&file, url).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let by_file = ["--database-url-file", file.to_str().unwrap()];
    let data = server.data();
    let copy = |server: &Server| {
        let arguments = [&["database", "copy", "--data", data.to_str().unwrap()][..], &by_file].concat();
        run(server.program(&arguments), b"", Duration::from_secs(60))
    };
    let _ = copy(&server).failed_saying("another server");
    server.kill9_serve();
    let _ = server.paddockd("serve", &by_file).failed_saying("paddockd database copy");
    let said = copy(&server).succeeded();
    assert!(said.stderr.contains("the same on both sides"), "{}", said.stderr);
    let _ = server.paddockd("serve", &[]).failed_saying("Start with --database-url");

    server.set_arguments(&by_file);
    server.restart();
    assert_eq!(look(&cli), before);
    assert_eq!(server.answers(APP, "/").json()["started"], process, "the same process answers");

    postgres.stop();
    assert_eq!(server.answers(APP, "/").json()["started"], process, "apps need no database");
    postgres.start_again();
    cli.heroku(&["config:set", "GREETING=again", "-a", APP]).succeeded();
    wait_until("a dyno of the new release answers", Duration::from_secs(60), || {
        let answer = server.get(APP, "/");
        (answer.status == 200 && answer.json()["started"] != process).then_some(())
    });
    let count = database.sql("SELECT count(*) FROM releases");
    let listed =
        cli.heroku(&["releases", "--json", "-a", APP]).succeeded().stdout.matches("\"version\"").count();
    assert_eq!(count.trim(), listed.to_string());

    let kept = look(&cli);
    let backup = tempfile::TempDir::with_prefix("paddock-backup-").unwrap();
    let to = backup.path().join("paddock.backup");
    server.paddockd("backup", &["--to", to.to_str().unwrap()]).succeeded();

    no_secret_shows(&server);
    drop((cli, server));
    let restored = Server::restored(&to, &[]);
    let cli = Cli::new(&restored);
    assert_eq!(look(&cli), kept, "what was on PostgreSQL is all there in SQLite");
    restored.answers(APP, "/");
}

/// The password is in no log, no argument, no note.
fn no_secret_shows(server: &Server) {
    assert!(!server.log().contains(PASSWORD));
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", server.pid().unwrap())).unwrap();
    assert!(arguments.contains("database-url") && !arguments.contains(PASSWORD));
    assert!(!std::fs::read_to_string(server.data().join("db/postgres")).unwrap().contains(PASSWORD));
}

/// What the app's user sees of it.
fn look(cli: &Cli) -> (String, String) {
    let said = |arguments: &[&str]| cli.heroku(arguments).succeeded().stdout;
    (said(&["releases", "--json", "-a", APP]), said(&["config", "--json", "-a", APP]))
}
