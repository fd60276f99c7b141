//! Two essential databases of one server: neither gets at the other or at the server.

use paddock_addons::Resource;
use paddock_addons::Service as _;

use crate::bench::Server;
use crate::client::{Client, superuser, traces};

struct Neighbours {
    server: Server,
    hostile: Resource,
    victim: Resource,
    client: Client,
    victims: Client,
}

async fn neighbours() -> Option<Neighbours> {
    let server = Server::shared().await?;
    let (hostile, victim) = (server.make("essential-0").await, server.make("essential-0").await);
    let client = Client::of(&server, &hostile).await;
    let mut victims = Client::of(&server, &victim).await;
    victims.run("CREATE TABLE diary (line text); INSERT INTO diary VALUES ('secret')").await;
    Some(Neighbours { server, hostile, victim, client, victims })
}

#[tokio::test]
async fn no_other_database_is_reached() {
    let Some(it) = neighbours().await else { return };
    let login = &it.hostile.credential.logins[0];
    for database in [&it.victim.database, "postgres", "template1", "template0"] {
        let refused = Client::open(&it.server, login, database).await.err();
        let code = refused.unwrap_or_else(|| panic!("{database} was reached")).code;
        // Not permitted to connect, or a database that takes no connections.
        assert!(["42501", "55000"].contains(&code.as_str()), "{database}: {code}");
    }
}

#[tokio::test]
async fn nobody_becomes_more_than_he_is() {
    let Some(mut it) = neighbours().await else { return };
    let (mine, theirs) = (&it.hostile, &it.victim);
    let (me, database) = (&mine.credential.logins[0].user, &mine.database);
    let (role, their_user) = (&theirs.credential.role, &theirs.credential.logins[0].user);
    let statements = [
        "CREATE ROLE friend".to_owned(),
        "CREATE DATABASE more".to_owned(),
        "ALTER SYSTEM SET work_mem = '1GB'".to_owned(),
        "SET ROLE postgres".to_owned(),
        "SET SESSION AUTHORIZATION postgres".to_owned(),
        format!("SET ROLE {role}"),
        format!("GRANT {role} TO {me}"),
        format!("GRANT {me} TO {their_user}"),
        format!("ALTER ROLE {me} CONNECTION LIMIT 1000"),
        format!("ALTER ROLE {me} SUPERUSER"),
        format!("ALTER ROLE {their_user} PASSWORD 'x'"),
        format!("ALTER ROLE {me} SET temp_file_limit = -1"),
        format!("ALTER ROLE {me} RESET temp_file_limit"),
        "SET temp_file_limit = -1".to_owned(),
        format!("ALTER DATABASE {database} CONNECTION LIMIT 1000"),
        format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"),
        format!("ALTER DATABASE {database} SET session_preload_libraries = 'x'"),
        format!("ALTER DATABASE {database} SET search_path = public"),
        format!("DROP DATABASE {}", theirs.database),
        format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", theirs.database),
        "GRANT pg_read_server_files TO CURRENT_USER".to_owned(),
        "CREATE TABLESPACE t LOCATION '/tmp'".to_owned(),
        "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p".to_owned(),
        "SELECT pg_create_logical_replication_slot('s', 'pgoutput')".to_owned(),
        "LOAD 'pg_stat_statements'".to_owned(),
        "UPDATE pg_catalog.pg_database SET datconnlimit = -1".to_owned(),
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION _heroku.nothing()".to_owned(),
    ];
    for statement in statements {
        // Whoever acts as the login, not as the owner, is no more either.
        for _ in ["as owner", "as login"] {
            let refused = it.client.refused(&statement).await;
            let denied =
                ["42501", "22023", "42704", "55P02", "42883", "58P01"].contains(&refused.code.as_str());
            assert!(denied, "{statement}: {refused:?}");
            it.client.run("SET ROLE NONE").await;
        }
        it.client.run(&format!("SET ROLE {}", mine.credential.role)).await;
    }
}

#[tokio::test]
async fn no_file_and_no_program_of_the_server_is_reached() {
    let Some(mut it) = neighbours().await else { return };
    it.client.run("CREATE TABLE t (line text)").await;
    for statement in [
        "COPY t FROM PROGRAM 'id'",
        "COPY t TO PROGRAM 'cat'",
        "COPY t FROM '/etc/passwd'",
        "COPY t TO '/tmp/x'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_stat_file('PG_VERSION')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT * FROM pg_file_settings",
        "SELECT pg_current_logfile()",
        "SELECT rolpassword FROM pg_authid",
        "SHOW data_directory",
        "SHOW ssl_key_file_that_is_none",
        "SELECT pg_reload_conf()",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6', 'getpid'",
        "CREATE LANGUAGE plpython3u",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION postgres_fdw",
        "CREATE EXTENSION file_fdw",
        "CREATE EXTENSION adminpack",
        "CREATE EXTENSION pg_prewarm",
        "CREATE EXTENSION pageinspect",
        "CREATE EXTENSION plpython3u",
        "CREATE EXTENSION plperlu",
        "CREATE SERVER s FOREIGN DATA WRAPPER file_fdw",
    ] {
        let refused = it.client.refused(statement).await;
        let denied = ["42501", "42704", "0A000", "58P01"].contains(&refused.code.as_str());
        assert!(denied, "{statement}: {refused:?}");
    }
}

#[tokio::test]
async fn what_the_other_says_is_not_seen_and_its_sessions_stay() {
    let Some(mut it) = neighbours().await else { return };
    it.victims.run("SELECT 'secret' AS said FROM diary").await;
    let seen =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%secret%' AND pid <> pg_backend_pid()";
    assert_eq!(it.client.run(seen).await, ["0"]);
    let seen = "SELECT count(*) FROM public.pg_stat_statements WHERE query LIKE '%diary%'";
    assert_eq!(it.client.run(seen).await, ["0"]);
    // The same questions find something where one may ask: else nothing would be proved.
    assert_ne!(it.victims.run(seen).await, ["0"]);
    let mut all = superuser(&it.server, "postgres").await;
    let process = all
        .run(&format!("SELECT pid FROM pg_stat_activity WHERE datname = '{}'", it.victim.database))
        .await
        .remove(0);
    for statement in
        [format!("SELECT pg_terminate_backend({process})"), format!("SELECT pg_cancel_backend({process})")]
    {
        assert_eq!(it.client.refused(&statement).await.code, "42501");
    }
    assert_eq!(
        it.client.refused(&format!("SELECT pg_log_backend_memory_contexts({process})")).await.code,
        "42501"
    );
    let size = format!("SELECT pg_database_size('{}')", it.victim.database);
    assert_eq!(it.client.refused(&size).await.code, "42501");
    assert_eq!(it.victims.run("SELECT line FROM diary").await, ["secret"]);
}

#[tokio::test]
async fn connections_end_at_the_plan_and_leave_the_others_theirs() {
    let Some(mut it) = neighbours().await else { return };
    let login = &it.hostile.credential.logins[0];
    let mut clients = Vec::new();
    for _ in 0..19 {
        clients.push(Client::open(&it.server, login, &it.hostile.database).await.unwrap());
    }
    let refused = Client::open(&it.server, login, &it.hostile.database).await.err().unwrap();
    assert_eq!(refused.code, "53300");
    assert!(refused.text.starts_with("too many connections for"), "{}", refused.text);
    // Nobody logs in as the role that owns, though he can give it a password.
    let role = &it.hostile.credential.role;
    it.client.run(&format!("ALTER ROLE {role} PASSWORD 'mine'")).await;
    drop(clients);
    let refused = Client::with(&it.server, role, "mine", &it.hostile.database).await.err().unwrap();
    assert_eq!(refused.code, "53300");
    Client::of(&it.server, &it.victim).await.close().await;
    it.victims.run("SELECT 1").await;
}

#[tokio::test]
async fn sorts_and_temporary_files_end_without_the_others() {
    let Some(mut it) = neighbours().await else { return };
    let sort = "SELECT count(*) FROM (SELECT md5(n::text) || repeat('x', 200) AS t FROM generate_series(1, 1500000) n ORDER BY 1 OFFSET 0) s";
    let refused = it.client.refused(sort).await;
    assert_eq!(refused.code, "53400", "{refused:?}");
    // What would be too much for the machine is too much for the statement alone.
    it.client.run("SET work_mem = '1TB'").await;
    let hoard = "SELECT length(string_agg(repeat('x', 1000000), '')) FROM generate_series(1, 1000)";
    let refused = it.client.refused(hoard).await;
    assert_eq!(refused.code, "53200", "{refused:?}");
    it.client.run("SELECT 1").await;
    assert_eq!(it.victims.run("SELECT line FROM diary").await, ["secret"]);
}

#[tokio::test]
async fn a_session_with_very_many_locks_is_ended() {
    let Some(mut it) = neighbours().await else { return };
    it.victims.run("SELECT pg_advisory_lock(n) FROM generate_series(1, 100) n").await;
    it.client.run("SELECT pg_advisory_lock(n) FROM generate_series(1, 20000) n").await;
    let ended = it.server.service.end_hoarders(&it.server.access).await.unwrap();
    assert_eq!(ended, [it.hostile.database.clone()]);
    assert!(it.client.try_run("SELECT 1").await.is_err());
    it.victims.run("SELECT 1").await;
}

/// What the platform's own connections name is not what a tenant has put there.
#[tokio::test]
async fn the_superuser_calls_nothing_of_a_tenants() {
    let Some(mut it) = neighbours().await else { return };
    let me = it.hostile.credential.logins[0].user.clone();
    let trap = format!("BEGIN EXECUTE 'ALTER ROLE {me} SUPERUSER'; RETURN 0; END");
    it.client
        .run(&format!(
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public;
             CREATE FUNCTION public.pg_database_size(name) RETURNS bigint LANGUAGE plpgsql AS $$ {trap} $$;
             CREATE FUNCTION public.pg_stat_reset() RETURNS int LANGUAGE plpgsql AS $$ {trap} $$;
             CREATE FUNCTION public.reset_statements(int, oid, int) RETURNS int LANGUAGE plpgsql AS $$ {trap} $$;
             CREATE FUNCTION public.pg_stat_statements_reset(oid, oid, bigint) RETURNS int LANGUAGE plpgsql AS $$ {trap} $$;
             CREATE FUNCTION public.pg_stat_statements(boolean) RETURNS int LANGUAGE plpgsql AS $$ {trap} $$;
             SET ROLE NONE; ALTER ROLE {me} SET search_path = public, pg_catalog"
        ))
        .await;
    let (server, resource) = (&it.server, &it.hostile);
    it.client.run("SET search_path = public, pg_catalog; SELECT _heroku.pg_stat_statements_reset()").await;
    server.service.sample(&server.access, resource).await.unwrap();
    server.service.reset_statistics(&server.access, resource).await.unwrap();
    server.service.provision(&server.access, resource).await.unwrap();
    let reader = server.service.new_login(&mut crate::bench::random);
    server.service.restrict(&server.access, resource, &reader).await.unwrap();
    server.service.lift_restriction(&server.access, resource).await.unwrap();
    let mut all = superuser(server, "postgres").await;
    let supers = all.run("SELECT rolname FROM pg_roles WHERE rolsuper").await;
    assert_eq!(supers, ["postgres"]);
}

/// Rights that one tenant gave the other are no reason for either to stay.
#[tokio::test]
async fn what_tenants_give_each_other_keeps_neither_on_the_server() {
    let Some(mut it) = neighbours().await else { return };
    let them = it.victim.credential.logins[0].user.clone();
    let role = it.victim.credential.role.clone();
    it.client
        .run(&format!(
            "CREATE TABLE shared (n int); GRANT ALL ON shared TO {them}, {role}; \
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}; \
             CREATE POLICY p ON shared TO {role}"
        ))
        .await;
    it.server.service.deprovision(&it.server.access, &it.victim).await.unwrap();
    it.client.run("SELECT * FROM shared").await;
    it.server.service.deprovision(&it.server.access, &it.hostile).await.unwrap();
    assert_eq!(traces(&it.server).await, Vec::<String>::new());
}
