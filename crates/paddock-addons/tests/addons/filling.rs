//! Who moves the data of a database is let in: to one that nobody else is in yet, and to one that its owner has closed.

use paddock_addons::postgres::{Mode, Rights};
use paddock_addons::{Credential, Login, Secret, Service as _};

use crate::bench::{Server, random};
use crate::client::{Client, superuser, traces};

#[tokio::test]
async fn nobody_gets_into_a_database_that_is_being_filled() {
    let extensions = ["citext".to_owned()];
    for plan in ["essential-0", "standard-0"] {
        let server = if plan == "essential-0" { Server::shared().await } else { Server::own(plan).await };
        let Some(server) = server else { return };
        let resource = server.make(plan).await;
        let owner = &resource.credential.logins[0];
        let mut before = Client::of(&server, &resource).await;
        before.run("CREATE TABLE old (n int)").await;
        let other: Credential = server.service.new_credential("reader", &mut random);
        let others = std::slice::from_ref(&other);
        let roles = traces(&server).await;

        server.service.empty_to_fill(&server.access, &resource, others, &extensions).await.unwrap();
        assert!(before.try_run("SELECT 1").await.is_err(), "{plan}: an old session goes on");
        for login in [owner, &other.logins[0]] {
            let refused = Client::open(&server, login, &resource.database).await.err().unwrap();
            assert_eq!(refused.code, "42501", "{plan}: {}", refused.text);
        }
        let fills = Login { user: "t1234567890123".to_owned(), password: Secret::new("sesame") };
        server.service.admit(&server.access, &resource, &fills, Mode::Writes).await.unwrap();
        let mut filling = Client::open(&server, &fills, &resource.database).await.unwrap();
        filling.run("CREATE TABLE new (n int); CREATE SCHEMA inner_part; INSERT INTO new VALUES (7)").await;
        filling.run(&format!("GRANT SELECT ON new TO {}", other.role)).await;
        filling.close().await;
        // Cut off, it begins anew.
        server.service.empty_to_fill(&server.access, &resource, others, &extensions).await.unwrap();
        server.service.admit(&server.access, &resource, &fills, Mode::Writes).await.unwrap();
        let mut filling = Client::open(&server, &fills, &resource.database).await.unwrap();
        filling.run("CREATE TABLE new (n int); INSERT INTO new VALUES (7)").await;
        filling.run(&format!("GRANT SELECT ON new TO {}", other.role)).await;
        filling.close().await;
        server.service.dismiss(&server.access, &resource, &fills.user).await.unwrap();
        assert!(Client::open(&server, owner, &resource.database).await.is_err(), "{plan}: still closed");

        server.service.provision(&server.access, &resource).await.unwrap();
        let mut after = Client::of(&server, &resource).await;
        assert_eq!(after.run("SELECT to_regclass('old') IS NULL, n FROM new").await, ["t|7"]);
        assert_eq!(
            after.run("SELECT 'a'::citext = 'A'").await,
            ["t"],
            "{plan}: an extension that was asked for"
        );
        let mut others_session = Client::open(&server, &other.logins[0], &resource.database).await.unwrap();
        assert_eq!(others_session.run("SELECT n FROM new").await, ["7"]);
        others_session.close().await;
        server.service.destroy_credential(&server.access, &resource, &other).await.unwrap();
        assert_eq!(traces(&server).await, roles);
    }
}

/// A server's superuser may forbid a change of owner: of a table of this name alone.
const KEEPS: &str = "\
CREATE FUNCTION keep() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.kept') THEN
    RAISE EXCEPTION 'kept';
  END IF;
END $$;
CREATE EVENT TRIGGER keep ON ddl_command_end EXECUTE FUNCTION keep();
";

#[tokio::test]
async fn what_a_credential_cannot_be_given_stays_and_the_rest_is_its_own() {
    let Some(server) = Server::own("standard-0").await else { return };
    let resource = server.make("standard-0").await;
    let other: Credential = server.service.new_credential("reader", &mut random);
    server.service.put_credential(&server.access, &resource, &other).await.unwrap();
    let mut owner = Client::of(&server, &resource).await;
    owner.run("CREATE TABLE kept (n int); CREATE TABLE given (n int); CREATE TABLE own (n int)").await;
    superuser(&server, &resource.database).await.run(KEEPS).await;
    let role = &other.role;
    let entries = [format!("TABLE public given {role}"), format!("TABLE public kept {role}")];
    let entries: Vec<_> = entries.iter().map(String::as_str).collect();
    let refused = server.service.give_to(&server.access, &resource, &other, &entries).await.unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let theirs = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = ";
    assert_eq!(owner.run(&format!("{theirs}'{role}'")).await, ["given"]);
}

#[tokio::test]
async fn no_setting_of_its_owner_keeps_out_who_dumps_a_database() {
    let Some(server) = Server::own("standard-0").await else { return };
    let resource = server.make("standard-0").await;
    let (database, role) = (&resource.database, &resource.credential.role);
    let mut owner = Client::of(&server, &resource).await;
    owner.run("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await;
    owner.run("SET ROLE NONE; SELECT lo_from_bytea(4242, 'mine'); RESET ROLE").await;
    let reads = Login { user: "s1234567890123".to_owned(), password: Secret::new("sesame") };
    let errand = server.service.dump("15", &server.access, &resource, &reads, Rights::Kept);
    let with = errand.unwrap().env.into_iter().find(|(name, _)| name == "PGOPTIONS").unwrap().1;
    let with = String::from_utf8(with).unwrap();
    let mut elsewhere = superuser(&server, "postgres").await;
    elsewhere.run(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false")).await;
    for setting in
        ["CONNECTION LIMIT 0", &format!("SET role = '{role}'"), "SET local_preload_libraries = 'none_there'"]
    {
        owner.run(&format!("ALTER DATABASE {database} {setting}")).await;
        server.service.admit(&server.access, &resource, &reads, Mode::Reads).await.unwrap();
        let mut reading = Client::asking(&server, &reads, database, &with).await.unwrap();
        let read = "SELECT n, current_user, lo_get(4242) FROM kept";
        assert_eq!(reading.run(read).await, ["7|s1234567890123|\\x6d696e65"], "{setting}");
        reading.close().await;
        server.service.dismiss(&server.access, &resource, &reads.user).await.unwrap();
    }
    let said = "SELECT datallowconn, datconnlimit FROM pg_database WHERE datname = current_database()";
    assert_eq!(owner.run(said).await, [format!("t|{}", resource.plan.connections + 2)]);
}
