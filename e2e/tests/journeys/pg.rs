//! `heroku pg:*` on an essential database and on one with a server of its own. What the commands say is compared, what they did
//! is looked up by psql.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::time::Duration;

use e2e::{Cli, DatabaseSession, Server, Transcript, ask_database, may_run, wait_until};
use paddock_testkit::postgres::PostgresServer;
use serde_json::Value;

const APP: &str = "pg-app";
/// What a shop has, with an index that nobody uses and a view.
const SHOP: &str = "\
CREATE TABLE goods (id serial PRIMARY KEY, name text NOT NULL, price int);
CREATE INDEX goods_by_price ON goods (price);
CREATE VIEW cheap AS SELECT * FROM goods WHERE price < 10;
INSERT INTO goods (name, price) SELECT 'thing ' || n, n FROM generate_series(1, 100) n;
ANALYZE goods;
";
/// Words of ours that no report may have in it.
const OURS: [&str; 3] = ["set_aside", "_heroku", "reset_statements"];

struct Journey {
    server: Server,
    cli: Cli,
    transcript: Transcript,
}

#[test]
fn the_official_cli_works_on_databases() {
    if !may_run("pg") {
        return;
    }
    let Some(plain) = PostgresServer::start() else { return };
    let server = Server::start();
    let cli = Cli::new(&server);
    let transcript = Transcript::begin("pg", &server, &cli);
    let mut journey = Journey { server, cli, transcript };
    journey.transcript.name(&plain.port().to_string(), "PLAIN_PORT");
    journey.begin();
    journey.psql();
    journey.reports("DATABASE");
    journey.reports("OWN");
    journey.diagnose();
    journey.differ_by_plan();
    journey.sessions();
    journey.credentials();
    journey.push_and_pull(&plain);
    journey.promote();
    journey.reset();
    journey.bad_input();
    journey.transcript.finish();
}

impl Journey {
    fn ask(&self, arguments: &[&str]) -> e2e::Outcome {
        self.cli.heroku(&[arguments, &["--app", APP]].concat())
    }

    fn say(&mut self, arguments: &[&str]) -> String {
        let outcome = self.ask(arguments);
        self.transcript.say(outcome).succeeded().text()
    }

    /// Runs a command whose words depend on the moment; the caller checks them.
    fn note(&mut self, arguments: &[&str]) -> String {
        let outcome = self.ask(arguments);
        self.transcript.note(outcome).succeeded().text()
    }

    fn refused(&mut self, arguments: &[&str], reason: &str) {
        let outcome = self.ask(arguments);
        let _ = self.transcript.say(outcome).failed_saying(reason);
    }

    fn api(&self, path: &str) -> Value {
        self.server.http().api("GET", path).with_status(200).json()
    }

    fn url(&self, name: &str) -> String {
        self.api(&format!("/apps/{APP}/config-vars"))[name].as_str().unwrap_or_default().to_owned()
    }

    fn sql(&self, name: &str, sql: &str) -> String {
        ask_database(&self.url(name), sql).succeeded().stdout.trim().to_owned()
    }

    /// Has the parts of an address replaced in the transcript.
    fn name_parts_of(&mut self, var: &str, names: [&'static str; 4]) {
        let url = self.url(var);
        let parts = url.strip_prefix("postgres://").unwrap();
        let (login, place) = parts.split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (address, database) = place.split_once('/').unwrap();
        let host = address.strip_suffix(":5432").unwrap();
        for (value, name) in [password, user, database, host].into_iter().zip(names) {
            self.transcript.name(value, name);
        }
    }

    fn begin(&mut self) {
        let _ = self.cli.heroku(&["create", APP, "--no-remote"]).succeeded();
        self.say(&["pg"]);
        self.say(&["addons:create", "heroku-postgresql", "--name", "pg-db"]);
        self.say(&[
            "addons:create",
            "heroku-postgresql:standard-0",
            "--name",
            "own-db",
            "--as",
            "OWN",
            "--wait",
        ]);
        self.name_parts_of("DATABASE_URL", ["PASSWORD", "USER", "DATABASE_NAME", "HOST"]);
        self.name_parts_of("OWN_URL", ["OWN_PASSWORD", "OWN_USER", "OWN_DATABASE_NAME", "OWN_HOST"]);
        self.say(&["pg:wait"]);
        self.say(&["pg:wait", "DATABASE"]);
        for name in ["pg-db", "own-db"] {
            let info = self.note(&["pg:info", name]);
            for row in [
                "Plan:",
                "Status:",
                "Available",
                "Connections:",
                "PG Version:",
                "Created:",
                "Data Size:",
                "Tables:",
                "Fork/Follow:",
                "Rollback:",
                "Continuous Protection:",
                "Add-on:",
            ] {
                assert!(info.contains(row), "no {row} in\n{info}");
            }
        }
        let both = self.note(&["pg"]);
        let at = |words: &str| both.find(words).unwrap_or_else(|| panic!("no {words} in\n{both}"));
        assert!(at("=== DATABASE_URL") < at("=== OWN_URL"), "{both}");
        assert!(both.contains("0/4000") && both.contains("/20"), "{both}");
    }

    fn psql(&mut self) {
        self.say(&["pg:psql", "-c", "SELECT 6 * 7 AS answer"]);
        self.say(&["psql", "own-db", "--command", "SHOW ssl"]);
        let file = self.cli.home().join("shop.sql");
        std::fs::write(&file, SHOP).unwrap();
        for name in ["DATABASE", "OWN"] {
            self.say(&["pg:psql", name, "-f", &file.display().to_string()]);
            assert_eq!(self.sql(&format!("{name}_URL"), "SELECT count(*) FROM cheap"), "9");
        }
        self.refused(&["pg:psql", "-c", "SELECT nonsense"], "nonsense");
        // Whoever logs in acts as the credential.
        self.say(&["pg:psql", "-c", "SELECT current_user = session_user AS same"]);
    }

    /// What is SQL of the client's alone.
    fn reports(&mut self, database: &str) {
        let mut all = String::new();
        for command in [
            "table-size",
            "index-size",
            "total-index-size",
            "total-table-size",
            "table-indexes-size",
            "records-rank",
            "seq-scans",
            "index-usage",
            "unused-indexes",
            "cache-hit",
            "vacuum-stats",
            "bloat",
        ] {
            all += &self.note(&[&format!("pg:{command}"), database]);
        }
        for words in ["goods", "goods_by_price", "goods_pkey", "index hit rate"] {
            assert!(all.contains(words), "no {words} in\n{all}");
        }
        for words in OURS {
            assert!(!all.contains(words), "{words} in\n{all}");
        }
        let shown = self.note(&["pg:mandelbrot", database]);
        assert!(shown.contains(",,,,,---"), "{shown}");
        self.say(&["pg:locks", database]);
        self.say(&["pg:locks", database, "--truncate"]);
        self.say(&["pg:blocking", database]);
        self.say(&["pg:long-running-queries", database]);
        let ps = self.note(&["pg:ps", database, "--verbose"]);
        assert!(ps.contains("running_for"), "{ps}");
        self.say(&["pg:user-connections", database]);
        let extensions = self.note(&["pg:extensions", database]);
        for name in ["hstore", "pg_trgm", "pgcrypto", "uuid-ossp", "pg_stat_statements"] {
            assert!(extensions.contains(name), "no {name} in\n{extensions}");
        }
        // What is offered can be made.
        let var = format!("{database}_URL");
        for name in ["hstore", "pgcrypto"] {
            let _ = self.sql(&var, &format!("CREATE EXTENSION {name}"));
        }
        // More often than any report of the client's.
        let often = "SELECT count(*) AS of_the_shop FROM goods;".repeat(60);
        let _ = self.sql(&var, &format!("SELECT 'a=>1'::hstore; {often}"));
        for command in [&["pg:outliers", database, "--num", "100"][..], &["pg:calls", database]] {
            let told = self.note(command);
            assert!(told.contains("of_the_shop"), "{told}");
        }
        self.say(&["pg:outliers", database, "--reset"]);
        let told = self.note(&["pg:outliers", database, "--truncate", "--num", "100"]);
        assert!(!told.contains("of_the_shop"), "{told}");
    }

    /// What the platform finds in them, and finds again by the report's id.
    fn diagnose(&mut self) {
        let told = self.say(&["pg:diagnose"]);
        let id = told.split_whitespace().nth(1).unwrap().to_owned();
        assert_eq!(self.say(&["pg:diagnose", &id]), told);
        let _ = self.sql("OWN_URL", "CREATE UNLOGGED TABLE forgetful (n int)");
        let told = self.say(&["pg:diagnose", "OWN"]);
        assert!(told.contains("YELLOW: Unlogged Tables") && told.contains("public.forgetful"), "{told}");
        let told = self.note(&["pg:diagnose", "OWN", "--json"]);
        assert!(told.contains(r#""database": "OWN_URL""#), "{told}");
        let _ = self.sql("OWN_URL", "DROP TABLE forgetful");
        self.refused(&["pg:diagnose", "01234567-0123-4123-8123-0123456789ab"], "Couldn't find that report");
    }

    /// What the client itself asks a plan for.
    fn differ_by_plan(&mut self) {
        self.refused(&["pg:stats-reset", "DATABASE"], "not supported by Essential-tier");
        self.refused(&["pg:fdwsql", "shop", "DATABASE"], "not supported by Essential-tier");
        let _ = self.sql("OWN_URL", "SELECT count(*) FROM goods");
        self.say(&["pg:stats-reset", "OWN"]);
        let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'goods'";
        wait_until("the statistics to be new", Duration::from_secs(20), || {
            (self.sql("OWN_URL", scans) == "0").then_some(())
        });
        let fdw = self.note(&["pg:fdwsql", "shop", "OWN"]);
        assert!(fdw.contains("CREATE FOREIGN TABLE shop_goods"), "{fdw}");
    }

    /// Who waits for whom, and how a session is ended: on a server of its own. In a shared one the acting role has no rights of
    /// the login, so PostgreSQL shows it no query of its own sessions and lets it end none; `pg:killall` is the platform's.
    fn sessions(&mut self) {
        let database = "OWN";
        let url = self.url(&format!("{database}_URL"));
        let folder = self.cli.home().to_owned();
        let mut holding = DatabaseSession::open(&url, &folder, &format!("{database}-holding"));
        holding.send("SET application_name = 'holding'; BEGIN; UPDATE goods SET price = 0 WHERE id = 1; SELECT 'held';");
        holding.wait_for("held");
        let mut waiting = DatabaseSession::open(&url, &folder, &format!("{database}-waiting"));
        waiting.send("SELECT 'begun'; UPDATE goods SET price = 1 WHERE id = 1;");
        waiting.wait_for("begun");
        let blocking = wait_until("one to wait for the other", Duration::from_secs(30), || {
            let outcome = self.ask(&["pg:blocking", database]).succeeded();
            outcome.stdout.contains("SET price = 1").then_some(outcome)
        });
        let _ = self.transcript.note(blocking);
        let locks = self.note(&["pg:locks", database]);
        assert!(locks.contains("SET price = 1"), "{locks}");
        let pid = |name: &str| {
            let sql = format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'");
            self.sql(&format!("{database}_URL"), &sql)
        };
        let pid = pid("holding");
        self.transcript.name(&format!("kill {pid} "), "kill PID ");
        self.say(&["pg:kill", &pid, database, "--force"]);
        wait_until("the session to end", Duration::from_secs(30), || {
            holding.send("SELECT 'still there';");
            holding.has_ended().then_some(())
        });
        waiting.send("SELECT 'went on';");
        waiting.wait_for("went on");
        self.say(&["pg:killall", database]);
        let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert_eq!(self.sql(&format!("{database}_URL"), left), "0");
        let mut held = DatabaseSession::open(&self.url("DATABASE_URL"), self.cli.home(), "held");
        held.send("SELECT 'here';");
        held.wait_for("here");
        self.say(&["pg:killall", "DATABASE"]);
        wait_until("the session to end", Duration::from_secs(30), || {
            held.send("SELECT 'still there';");
            held.has_ended().then_some(())
        });
    }

    fn credentials(&mut self) {
        self.say(&["pg:credentials"]);
        self.say(&["pg:credentials", "OWN"]);
        let told = self.say(&["pg:credentials:url"]);
        assert!(
            told.contains("postgres://USER:PASSWORD@HOST:5432/DATABASE_NAME")
                || told.contains(&self.url("DATABASE_URL")),
            "{told}"
        );
        self.refused(&["pg:credentials:url", "--name", "nobody"], "Couldn't find that credential");
    }

    /// From a PostgreSQL of Debian's, and to one.
    fn push_and_pull(&mut self, plain: &PostgresServer) {
        let local = |name: &str| format!("postgres://postgres@localhost:{}/{name}", plain.port());
        let _ = plain.sql("postgres", "CREATE DATABASE shop");
        let _ = plain.sql("shop", SHOP);
        self.refused(&["pg:push", &local("shop"), "DATABASE"], "Remote database is not empty");
        self.say(&["pg:reset", "DATABASE", "--confirm", APP]);
        assert_eq!(self.sql("DATABASE_URL", "SELECT count(*) FROM pg_stat_user_tables"), "0");
        let said = self.note(&["pg:push", &local("shop"), "DATABASE"]);
        assert!(said.contains("Pushing complete."), "{said}");
        let sum = "SELECT count(*), sum(price), md5(string_agg(name, ',' ORDER BY id)) FROM goods";
        let here = plain.sql("shop", sum);
        assert_eq!(self.sql("DATABASE_URL", sum), here.trim());
        assert_eq!(self.sql("DATABASE_URL", "SELECT count(*) FROM cheap"), "9");

        let said = self.note(&["pg:pull", "DATABASE", &local("pulled")]);
        assert!(said.contains("Pulling complete."), "{said}");
        assert_eq!(plain.sql("pulled", sum), here);
        for words in OURS {
            let count =
                plain.sql("pulled", &format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{words}'"));
            assert_eq!(count.trim(), "0", "{words} came along");
        }
        // Emptied as frameworks do it; then back again, with what a dump says of extensions.
        let empty = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE EXTENSION pg_stat_statements";
        let _ = self.sql("DATABASE_URL", empty);
        // Its functions stay the platform's: one of them would forget what others did on the same server.
        for sql in ["SELECT", "GRANT EXECUTE ON FUNCTION"] {
            let (function, to) =
                ("public.pg_stat_statements_reset", if sql == "SELECT" { "()" } else { " TO PUBLIC" });
            let refused = ask_database(&self.url("DATABASE_URL"), &format!("{sql} {function}{to}"));
            let _ = refused.failed_saying("permission denied for function pg_stat_statements_reset");
        }
        let _ = self.note(&["pg:outliers", "DATABASE"]);
        let _ = self.note(&["pg:reset", "DATABASE", "--confirm", APP]);
        let said = self.note(&["pg:push", &local("pulled"), "DATABASE"]);
        assert!(said.contains("Pushing complete."), "{said}");
        assert_eq!(self.sql("DATABASE_URL", sum), here.trim());
        let said = self.note(&["pg:pull", "OWN", &local("own"), "--exclude-table-data", "goods"]);
        assert!(said.contains("Pulling complete."), "{said}");
        assert_eq!(plain.sql("own", "SELECT count(*) FROM goods").trim(), "0");
    }

    fn promote(&mut self) {
        let (first, own) = (self.url("DATABASE_URL"), self.url("OWN_URL"));
        self.refused(&["pg:promote", "DATABASE"], "already promoted");
        self.say(&["pg:promote", "OWN"]);
        assert_eq!(self.url("DATABASE_URL"), own);
        assert_eq!(self.url("HEROKU_POSTGRESQL_AMBER_URL"), first);
        let releases = self.api(&format!("/apps/{APP}/releases"));
        let described: Vec<_> =
            releases.as_array().unwrap().iter().rev().take(3).map(|one| one["description"].clone()).collect();
        assert_eq!(
            described,
            [
                "Attach DATABASE (@ref:own-db)",
                "Detach DATABASE (@ref:pg-db)",
                "Attach HEROKU_POSTGRESQL_AMBER (@ref:pg-db)"
            ]
        );
        self.say(&["pg:promote", "pg-db"]);
        assert_eq!(self.url("DATABASE_URL"), first);
        self.say(&["pg:promote", "own-db", "--as", "REPORTING"]);
        assert_eq!(self.url("REPORTING_URL"), own);
    }

    fn reset(&mut self) {
        self.refused(&["pg:reset", "DATABASE", "--confirm", "other"], "did not match");
        self.refused(
            &["pg:reset", "DATABASE", "--confirm", APP, "--extensions", "hstore,dblink"],
            "dblink is not available",
        );
        assert_eq!(
            self.sql("DATABASE_URL", "SELECT count(*) FROM goods"),
            "100",
            "what is refused destroys nothing"
        );
        self.say(&["pg:reset", "DATABASE", "--confirm", APP, "--extensions", "hstore,extras.pg_trgm"]);
        let tables = "SELECT count(*) FROM pg_stat_user_tables";
        assert_eq!(self.sql("DATABASE_URL", tables), "0");
        let _ = self.sql(
            "DATABASE_URL",
            "SELECT 'a=>1'::hstore; SELECT extras.similarity('a', 'b'); CREATE TABLE t ()",
        );
    }

    fn bad_input(&mut self) {
        self.refused(&["pg:info", "NOWHERE"], "Unknown database: NOWHERE");
        self.refused(&["pg:psql", "NOWHERE_URL", "-c", "SELECT 1"], "Unknown database: NOWHERE");
        self.refused(&["pg:outliers", "--num", "many"], "Cannot parse num");
        self.refused(&["pg:push", "postgres://postgres@localhost:1/none", "OWN"], "not empty");
    }
}
