//! What a report says of a database.

use paddock_addons::Resource;
use paddock_addons::postgres::{Cell, Check, Verdict};

use crate::bench::{Server, until};
use crate::client::Client;

async fn report(server: &Server, resource: &Resource) -> Vec<Check> {
    server.service.diagnose(&server.access, resource).await.unwrap()
}

fn named<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap()
}

/// Whether a value of a check has this in it.
fn tells(check: &Check, words: &str) -> bool {
    let has = |cell: &Cell| matches!(cell, Cell::Text(text) if text.contains(words));
    check.rows.iter().flatten().any(has)
}

#[tokio::test]
async fn a_new_database_is_well_and_what_is_not_measured_is_skipped() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let checks = report(&server, &resource).await;
    let bad: Vec<_> = checks.iter().filter(|check| check.verdict != Verdict::Green).collect();
    let names: Vec<_> = bad.iter().map(|check| (check.name, check.verdict)).collect();
    assert_eq!(names, [("Load", Verdict::Skipped), ("CPU Burst", Verdict::Skipped)]);
    assert!(bad.iter().all(|check| check.reason.is_some()));
    assert_eq!(named(&checks, "Connection Count").rows, [[Cell::Integer(0)]]);
    assert_eq!(checks.len(), 15);
}

#[tokio::test]
async fn what_is_wrong_is_found() {
    let Some(server) = Server::shared().await else { return };
    let (resource, other) = (server.make("essential-0").await, server.make("essential-0").await);
    let mut client = Client::of(&server, &resource).await;
    client
        .run(
            "CREATE TABLE t (id serial, small smallserial, n int); \
             INSERT INTO t SELECT 1, 1, n FROM generate_series(1, 60000) n; \
             SELECT setval('t_small_seq', 30000); SELECT setval('t_id_seq', 1700000000); \
             CREATE INDEX never ON t (n) WITH (fillfactor = 10); \
             CREATE UNLOGGED TABLE forgetful (n int)",
        )
        .await;
    for number in 0..20 {
        client.run(&format!("CREATE SCHEMA s{number}")).await;
    }
    let mut holds = Client::of(&server, &resource).await;
    holds.run("CREATE TABLE held (n int)").await;
    holds.run("BEGIN; LOCK held").await;
    let mut waits = Client::of(&server, &resource).await;
    let waiting = tokio::spawn(async move { waits.try_run("SELECT * FROM held").await });
    let mut others = Client::of(&server, &other).await;
    others.run("CREATE UNLOGGED TABLE theirs ()").await;
    let mut checks = Vec::new();
    let seen = until(async || {
        checks = report(&server, &resource).await;
        tells(named(&checks, "Blocking Queries"), "SELECT * FROM held")
            && tells(named(&checks, "Indexes"), "never")
    });
    assert!(seen.await, "{checks:#?}");
    for (name, verdict, words) in [
        ("Indexes", Verdict::Yellow, "Never Used Indexes"),
        ("Blocking Queries", Verdict::Red, "LOCK held"),
        ("Sequences", Verdict::Red, "public.t_small_seq"),
        ("Sequences", Verdict::Red, "t.id"),
        ("Unlogged Tables", Verdict::Yellow, "public.forgetful"),
    ] {
        let check = named(&checks, name);
        assert!(check.verdict == verdict && tells(check, words), "{words} in {check:?}");
    }
    let schemas = named(&checks, "Schema Count");
    assert_eq!((schemas.verdict, &schemas.rows), (Verdict::Yellow, &vec![vec![Cell::Integer(21)]]));
    assert!(!checks.iter().any(|check| tells(check, "theirs")), "nothing of another database");
    holds.run("COMMIT").await;
    waiting.await.unwrap().unwrap();
}

/// A tenant owns what is in his database: names of his, settings of his, locks of his.
#[tokio::test]
async fn a_tenant_stands_in_nobodys_way() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    client
        .run(
            "CREATE FUNCTION age(xid) RETURNS int LANGUAGE plpgsql AS \
                $$ BEGIN CREATE TABLE ran_as (who text); RETURN 2000000000; END $$; \
             CREATE TABLE pg_namespace (nspname text); CREATE TABLE t (id serial); CREATE INDEX by_id ON t (id)",
        )
        .await;
    let checks = report(&server, &resource).await;
    assert_eq!(named(&checks, "Table Transaction ID Wraparound").verdict, Verdict::Green);
    assert_eq!(named(&checks, "Schema Count").verdict, Verdict::Green);
    client.refused("SELECT * FROM ran_as").await;
    // A lock stands in the way of what needs it, and of nothing else.
    client.run("BEGIN; LOCK t IN ACCESS EXCLUSIVE MODE; ALTER SEQUENCE t_id_seq INCREMENT BY 2").await;
    let checks = report(&server, &resource).await;
    let sequences = named(&checks, "Sequences");
    assert_eq!((sequences.verdict, sequences.reason.is_some()), (Verdict::Skipped, true));
    assert_eq!(named(&checks, "Indexes").verdict, Verdict::Green);
}
