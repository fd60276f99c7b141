//! A database over its plan: nothing is written into it, whatever was prepared.

use paddock_addons::{Login, Resource, Service as _};

use crate::bench::{Server, random};
use crate::client::{Client, Refused};

const PREPARED: &str = "
CREATE TABLE t (n int, word text); INSERT INTO t SELECT n, 'x' FROM generate_series(1, 100) n;
CREATE TABLE other (n int); INSERT INTO other VALUES (1);
CREATE TABLE open (n int); GRANT ALL ON open TO PUBLIC;
CREATE TABLE half (n int, word text); GRANT INSERT (n), UPDATE (word) ON half TO PUBLIC; INSERT INTO half VALUES (1, 'x');
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE SCHEMA inner_part; CREATE TABLE inner_part.t (n int); INSERT INTO inner_part.t VALUES (1);
CREATE TABLE ruled (n int); INSERT INTO ruled VALUES (1); CREATE TABLE grown (n int);
CREATE RULE grow AS ON DELETE TO ruled DO ALSO INSERT INTO grown VALUES (1);
CREATE TABLE triggered (n int); INSERT INTO triggered VALUES (1);
CREATE FUNCTION grow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN INSERT INTO public.grown VALUES (2); RETURN OLD; END';
CREATE TRIGGER grow BEFORE DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION grow();
CREATE FUNCTION anything(sql text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN EXECUTE sql; END';
CREATE TABLE secret (n int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY; INSERT INTO secret VALUES (1);
SELECT lo_create(4711); GRANT ALL ON LARGE OBJECT 4711 TO PUBLIC;
";

const REFUSED: [&str; 28] = [
    "INSERT INTO t VALUES (1)",
    "UPDATE t SET n = 2",
    "COPY t FROM STDIN",
    "INSERT INTO open VALUES (1)",
    "INSERT INTO half (n) VALUES (1)",
    "UPDATE half SET word = repeat('x', 1000)",
    "INSERT INTO inner_part.t VALUES (1)",
    "SELECT anything('INSERT INTO t VALUES (1)')",
    "DELETE FROM triggered",
    "CREATE TABLE more (n int)",
    "CREATE TABLE public.more AS SELECT * FROM t",
    "CREATE TEMP TABLE more (n int)",
    "SELECT * INTO TEMP more FROM t",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION hstore",
    "CREATE MATERIALIZED VIEW m AS SELECT * FROM t",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE friend",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_put(4711, 0, 'x')",
    "SELECT lowrite(lo_open(4711, 131072), 'x')",
    "COMMENT ON SCHEMA _heroku IS '[\"ALTER ROLE postgres NOLOGIN\"]'",
    "COMMENT ON SCHEMA _heroku IS NULL",
    "SET ROLE postgres",
    "SET session_replication_role = replica",
    "GRANT ALL ON t TO CURRENT_USER; INSERT INTO t VALUES (1)",
];

async fn restricted(server: &Server, resource: &Resource) -> (Login, Client) {
    let reader = server.service.new_login(&mut random);
    server.service.restrict(&server.access, resource, &reader).await.unwrap();
    let client = Client::open(server, &reader, &resource.database).await.unwrap();
    (reader, client)
}

fn denied(refused: &Refused) -> bool {
    // Not permitted; 0LP01 is a membership that cannot be given.
    ["42501", "0LP01", "42704"].contains(&refused.code.as_str())
}

#[tokio::test]
async fn nothing_is_written_however_it_was_prepared() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let owner = resource.credential.logins[0].clone();
    let mut client = Client::of(&server, &resource).await;
    client.run(PREPARED).await;

    let (reader, mut reading) = restricted(&server, &resource).await;
    assert!(client.try_run("SELECT 1").await.is_err(), "the owner's session goes on");
    assert!(Client::open(&server, &owner, &resource.database).await.is_err());
    assert!(
        Client::with(&server, &reader.user, "wrong", &resource.database).await.is_err(),
        "no password is asked for"
    );
    let second = Client::open(&server, &reader, &resource.database).await.err();
    assert_eq!(second.expect("a second connection is let in").code, "53300");

    let role = &resource.credential.role;
    let (me, database) = (&reader.user, &resource.database);
    for statement in REFUSED.map(str::to_owned).into_iter().chain([
        format!("SET ROLE {role}"),
        format!("SET ROLE {}", owner.user),
        format!("GRANT {role} TO {me}"),
        format!("ALTER TABLE t OWNER TO {me}"),
        format!("ALTER ROLE {me} CONNECTION LIMIT 10"),
        format!("ALTER ROLE {} LOGIN", owner.user),
        format!("ALTER DATABASE {database} CONNECTION LIMIT 10"),
        format!("GRANT TEMP ON DATABASE {database} TO {me}; CREATE TEMP TABLE u (n int)"),
        "ALTER TABLE ruled ENABLE RULE grow".to_owned(),
        "DROP TABLE t".to_owned(),
    ]) {
        match reading.try_run(&statement).await {
            Err(refused) => assert!(denied(&refused), "{statement}: {refused:?}"),
            Ok(rows) => panic!("{statement} was not refused: {rows:?}"),
        }
    }
    reading.run("DELETE FROM ruled").await;
    assert_eq!(reading.run("SELECT count(*) FROM grown").await, ["0"]);
    // What is left: reading, deleting, emptying.
    assert_eq!(reading.run("DELETE FROM t WHERE n > 10 RETURNING 1").await.len(), 90);
    reading.run("TRUNCATE other; DELETE FROM inner_part.t; DELETE FROM secret; TRUNCATE triggered").await;
    assert_eq!(reading.run("SELECT count(*) FROM secret").await, ["0"]);
}

#[tokio::test]
async fn it_is_as_before_once_it_is_lifted() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    client.run(PREPARED).await;
    let rights = "SELECT string_agg(coalesce(relacl, acldefault('r', relowner))::text || relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let functions = "SELECT string_agg(proname || prosecdef::text || coalesce(proacl, acldefault('f', proowner))::text, ' ' ORDER BY proname) FROM pg_proc \
        WHERE proname IN ('anything', 'grow')";
    let before = client.run(&format!("{rights} UNION ALL {functions}")).await;
    let (reader, reading) = restricted(&server, &resource).await;

    // A change of plan meanwhile lets nobody in.
    server.service.provision(&server.access, &resource).await.unwrap();
    assert!(Client::open(&server, &resource.credential.logins[0], &resource.database).await.is_err());
    drop(reading);

    server.service.lift_restriction(&server.access, &resource).await.unwrap();
    assert!(Client::open(&server, &reader, &resource.database).await.is_err());
    let mut client = Client::of(&server, &resource).await;
    assert_eq!(client.run(&format!("{rights} UNION ALL {functions}")).await, before);
    client
        .run("DELETE FROM ruled; DELETE FROM triggered; SELECT lo_create(0); SELECT anything('SELECT 1')")
        .await;
    assert_eq!(client.run("SELECT n FROM grown ORDER BY n").await, ["1", "2"]);
    // A dump has no word of it.
    let changed = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname LIKE 'lo_%' \
        AND NOT has_function_privilege('public', oid, 'EXECUTE') AND proname NOT IN ('lo_import', 'lo_export')";
    assert_eq!(client.run(changed).await, ["0"]);
}

#[tokio::test]
async fn a_restricted_database_can_be_emptied_and_taken_down() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let (reader, reading) = restricted(&server, &resource).await;
    reading.close().await;
    server.service.reset(&server.access, &resource, &[]).await.unwrap();
    let mut reading = Client::open(&server, &reader, &resource.database).await.unwrap();
    reading.refused("CREATE TABLE t (n int)").await;
    server.service.deprovision(&server.access, &resource).await.unwrap();
    assert_eq!(crate::client::traces(&server).await, Vec::<String>::new());
}
