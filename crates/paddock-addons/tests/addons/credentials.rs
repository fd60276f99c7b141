//! Credentials and their logins.

use paddock_addons::{Credential, Service as _};

use crate::bench::{Server, random};
use crate::client::Client;

#[tokio::test]
async fn a_rotation_has_both_logins_until_the_old_one_is_revoked() {
    let Some(server) = Server::shared().await else { return };
    let mut resource = server.make("essential-0").await;
    let old = resource.credential.logins[0].clone();
    let mut before = Client::of(&server, &resource).await;
    // What he makes for himself, not for the credential, is in nobody's way.
    before.run("CREATE TABLE ours (n int); SET ROLE NONE; CREATE TABLE mine (n int)").await;

    let new = server.service.new_login(&mut random);
    resource.credential.logins.push(new.clone());
    server.service.provision(&server.access, &resource).await.unwrap();
    let mut after = Client::open(&server, &new, &resource.database).await.unwrap();
    after.run("INSERT INTO ours VALUES (1)").await;
    before.run("INSERT INTO ours VALUES (2)").await;
    assert_eq!(server.service.sessions_of(&server.access, &old.user).await.unwrap(), 1);

    for _ in 0..2 {
        server
            .service
            .revoke_login(&server.access, &resource, &resource.credential, &old.user)
            .await
            .unwrap();
    }
    assert!(before.try_run("SELECT 1").await.is_err());
    assert!(Client::open(&server, &old, &resource.database).await.is_err());
    after.run("ALTER TABLE mine ADD COLUMN m int; DROP TABLE ours").await;
}

#[tokio::test]
async fn a_new_credential_connects_and_nothing_else() {
    let Some(server) = Server::own("standard-0").await else { return };
    let resource = server.make("standard-0").await;
    let mut owner = Client::of(&server, &resource).await;
    owner.run("CREATE TABLE t (n int)").await;
    let credential: Credential = server.service.new_credential("Read-Only", &mut random);
    server.service.put_credential(&server.access, &resource, &credential).await.unwrap();
    let mut other = Client::open(&server, &credential.logins[0], &resource.database).await.unwrap();
    for statement in
        ["SELECT * FROM t", "CREATE TABLE u (n int)", "CREATE SCHEMA s", "CREATE TEMP TABLE v (n int)"]
    {
        assert_eq!(other.refused(statement).await.code, "42501", "{statement}");
    }

    // What it is called is its role's name.
    owner.run("GRANT CREATE ON SCHEMA public TO \"Read-Only\"").await;
    owner.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t TO \"Read-Only\"").await;
    owner
        .run("INSERT INTO t VALUES (1), (2); CREATE POLICY odd ON t TO \"Read-Only\" USING (n % 2 = 1)")
        .await;
    assert_eq!(other.run("SELECT n, current_user FROM t").await, ["1|Read-Only"]);
    other.run("CREATE TABLE theirs (n int)").await;
    owner.refused("ALTER TABLE theirs ADD COLUMN m int").await;
    server.service.repair_default(&server.access, &resource).await.unwrap();
    owner.run("ALTER TABLE theirs ADD COLUMN m int").await;
    other.run("CREATE TABLE later (n int)").await;
    // As a master of the other credential.
    owner.run("ALTER TABLE later ADD COLUMN m int").await;

    owner.run("SET ROLE \"Read-Only\"; DROP TABLE later; RESET ROLE").await;

    // It stays when the database is emptied.
    other.close().await;
    server.service.reset(&server.access, &resource, &["hstore".to_owned()]).await.unwrap();
    let mut other = Client::open(&server, &credential.logins[0], &resource.database).await.unwrap();
    other.refused("CREATE TABLE u (n int)").await;
    server.service.destroy_credential(&server.access, &resource, &credential).await.unwrap();
    assert!(Client::open(&server, &credential.logins[0], &resource.database).await.is_err());
}

#[tokio::test]
async fn the_default_credential_of_a_server_of_its_own_may_watch_it() {
    let Some(server) = Server::own("standard-0").await else { return };
    let resource = server.make("standard-0").await;
    let mut client = Client::of(&server, &resource).await;
    client.run("SHOW data_directory").await;
    client.run("SELECT public.pg_stat_statements_reset()").await;
    let mut other = Client::of(&server, &resource).await;
    let process = other.run("SELECT pg_backend_pid()").await.remove(0);
    client.run(&format!("SELECT pg_terminate_backend({process}, 5000)")).await;
    assert!(other.try_run("SELECT 1").await.is_err());
    for statement in
        ["CREATE ROLE r", "ALTER SYSTEM SET work_mem = '1GB'", "COPY (SELECT 1) TO PROGRAM 'cat'"]
    {
        assert_eq!(client.refused(statement).await.code, "42501", "{statement}");
    }
}
