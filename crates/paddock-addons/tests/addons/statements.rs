//! What commands of the CLI ask of a database by SQL, and what the platform sees of it.

use std::process::Command;

use paddock_addons::{Resource, Service as _};

use crate::bench::{Server, plan, random};
use crate::client::Client;

/// As `pg:outliers` and `pg:calls` ask it.
const CALLS: &str = "SELECT query FROM public.pg_stat_statements \
    WHERE userid = (SELECT usesysid FROM pg_user WHERE usename = current_user LIMIT 1)";

#[tokio::test]
async fn calls_are_listed_and_forgotten_by_their_own_database_alone() {
    let Some(server) = Server::shared().await else { return };
    let (mine, other) = (server.make("essential-0").await, server.make("essential-0").await);
    let mut client = Client::of(&server, &mine).await;
    let mut others = Client::of(&server, &other).await;
    client.run("SELECT 41 AS mine").await;
    others.run("SELECT 42 AS theirs").await;
    let has = |rows: Vec<String>, word: &str| rows.iter().any(|row| row.contains(word));
    assert!(has(client.run(CALLS).await, "mine"));
    assert!(has(others.run(CALLS).await, "theirs"));
    client.run("SELECT _heroku.pg_stat_statements_reset()").await;
    assert!(!has(client.run(CALLS).await, "AS mine"));
    assert!(has(others.run(CALLS).await, "AS theirs"));
    client.refused("SELECT _heroku.reset_statements(0, 0, 0)").await;
    client.refused("SELECT public.pg_stat_statements_reset()").await;

    client.run("SELECT 43 AS again").await;
    server.service.reset_statistics(&server.access, &mine).await.unwrap();
    assert!(!has(client.run(CALLS).await, "AS again"));
    assert!(has(others.run(CALLS).await, "AS theirs"));
}

#[tokio::test]
async fn allowed_extensions_are_listed_and_can_be_made() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    for setting in ["rds.allowed_extensions", "extwlist.extensions"] {
        let listed = client
            .run(&format!(
                "SELECT name FROM pg_available_extensions \
                 WHERE name IN (SELECT unnest(string_to_array(current_setting('{setting}'), ',')))"
            ))
            .await;
        assert!(listed.len() > 15, "{listed:?}");
        for name in listed {
            client.run(&format!("CREATE EXTENSION IF NOT EXISTS \"{name}\" CASCADE")).await;
        }
    }
}

#[tokio::test]
async fn a_reset_leaves_nothing_but_what_was_asked_for() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE t (n int); SELECT lo_create(5)").await;
    // PostgreSQL itself has one function of pgcrypto's in `pg_catalog`.
    let extensions =
        ["hstore", "extensions.citext", "pgcrypto", "plpgsql", "pg_stat_statements"].map(str::to_owned);
    server.service.reset(&server.access, &resource, &extensions).await.unwrap();
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE t (h public.hstore, c extensions.citext)").await;
    let lie = client.run("SELECT extname, extnamespace::regnamespace FROM pg_extension ORDER BY 1").await;
    let usual = ["citext|extensions", "hstore|public", "pg_stat_statements|public", "pgcrypto|public"];
    assert_eq!(lie, [&usual[..], &["plpgsql|pg_catalog"]].concat());
    assert_eq!(client.run("SELECT count(*) FROM pg_largeobject_metadata").await, ["0"]);
    client.run("DROP EXTENSION hstore CASCADE").await;
    let refused = server.service.reset(&server.access, &resource, &["dblink".to_owned()]).await.unwrap_err();
    assert!(refused.source.to_string().starts_with("The extension dblink is not available."));
    client.run("SELECT 1").await;
}

#[tokio::test]
async fn a_sample_counts_what_is_there() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let empty = server.service.sample(&server.access, &resource).await.unwrap();
    assert_eq!((empty.used.tables, empty.connections, empty.waiting), (0, 0, 0));
    assert!(empty.version.starts_with("15."), "{}", empty.version);
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE t AS SELECT n FROM generate_series(1, 100000) n").await;
    client.run("CREATE TEMP TABLE u (n int)").await;
    let full = server.service.sample(&server.access, &resource).await.unwrap();
    assert_eq!((full.used.tables, full.connections), (1, 1));
    assert!(full.used.storage_bytes > empty.used.storage_bytes + (3 << 20));
    assert!(full.transaction > empty.transaction);
    let sizes = server.service.sizes(&server.access).await.unwrap();
    assert_eq!(sizes.keys().collect::<Vec<_>>(), [&resource.database]);
    server.service.end_sessions(&server.access, &resource).await.unwrap();
    assert!(client.try_run("SELECT 1").await.is_err());
}

#[tokio::test]
async fn a_change_of_plan_changes_limits_and_nothing_else() {
    let Some(server) = Server::shared().await else { return };
    let mut resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE t (n int)").await;
    resource.plan = plan("essential-2");
    server.service.provision(&server.access, &resource).await.unwrap();
    client.run("SELECT * FROM t").await;
    let limits = client
        .run("SELECT d.datconnlimit, r.rolconnlimit FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = session_user")
        .await;
    // Two more of the database, for whoever moves data.
    assert_eq!(limits, ["42|40"]);
    let mut fresh = Client::of(&server, &resource).await;
    assert_eq!(fresh.run("SHOW temp_file_limit").await, ["2GB"]);
}

/// What `pg_dump` makes of a database with what is in its config var.
fn dump(server: &Server, resource: &Resource, options: &[&str]) -> String {
    let login = &resource.credential.logins[0];
    let output = Command::new(paddock_testkit::postgres::programs().unwrap().join("pg_dump"))
        .args(options)
        .args(["-h", "127.0.0.1", "-p", &server.address().port().to_string(), "-U", &login.user])
        .arg(&resource.database)
        .env("PGPASSWORD", login.password.reveal())
        .env("PGSSLMODE", "require")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_tenant_makes_a_dump_and_nothing_of_ours_need_be_in_it() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE t AS SELECT 'kept' AS word").await;
    let reader = server.service.new_login(&mut random);
    server.service.restrict(&server.access, &resource, &reader).await.unwrap();
    server.service.lift_restriction(&server.access, &resource).await.unwrap();
    assert!(dump(&server, &resource, &[]).contains("kept"));
    let without = dump(&server, &resource, &["-N", "_heroku"]);
    assert!(without.contains("kept"));
    for ours in ["_heroku", "pg_catalog.lo", "lo_create", &reader.user] {
        assert!(!without.contains(ours), "{ours}: {without}");
    }
}
