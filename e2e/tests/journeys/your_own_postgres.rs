//! The page of that name: a database on the server's own machine, reached by one port that the operator opened.

use std::time::Duration;

use e2e::{Cli, Machine, Repo, Server, may_run, run};
use paddock_testkit::postgres::PostgresServer;

const APP: &str = "shop";
const PASSWORD: &str = "o7ap3mwd";

#[test]
fn an_app_uses_a_database_on_the_servers_own_machine() {
    if !may_run("a database on the server's own machine") {
        return;
    }
    // The cable's end is an address of this machine.
    let machine = Machine::connected();
    let address = machine.address_here();
    let Some(database) = PostgresServer::start() else { return };
    let database = database.listening_on(address, "host  shop  shop  samenet  scram-sha-256");
    let make =
        format!("SET password_encryption = 'scram-sha-256'; CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}'");
    database.sql("postgres", &make);
    database.sql("postgres", "CREATE DATABASE shop OWNER shop");

    let refused = Server::bare(&["serve", "--data", "/nowhere", "--allow-egress", "127.0.0.1:5432"]);
    run(refused, b"", Duration::from_secs(30)).failed_saying("is the dyno itself");

    let service = format!("{address}:{}", database.port());
    let mut server = Server::start_with(&["--allow-egress", &service]);
    server.announce("adopt");
    let cli = Cli::new(&server);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    let url = format!("DATABASE_URL=postgres://shop:{PASSWORD}@{service}/shop");
    cli.heroku(&["config:set", &url, "--app", APP]).succeeded();
    let ask = |statement: &str| {
        let command = format!("psql \"$DATABASE_URL\" --tuples-only --command \"{statement}\"");
        cli.heroku(&["run", "--exit-code", "--app", APP, "--", &command])
    };
    ask("CREATE TABLE orders (number integer)").succeeded();
    ask("INSERT INTO orders VALUES (4711)").succeeded();
    let _ = ask("SELECT number FROM orders").succeeded().saying("4711");
    assert_eq!(database.sql("shop", "SELECT number FROM orders").trim(), "4711");

    // Named without its port this machine stays closed, and the operator hears what to say instead.
    server.paddockd("stop", &[]).succeeded();
    server.announce("one by one");
    server.set_arguments(&["--allow-egress", &format!("{address}/32")]);
    server.restart();
    assert!(server.log().contains(&format!("say --allow-egress {address}:PORT")));
    let _ = ask("SELECT number FROM orders").failed_saying("No route to host");
}
