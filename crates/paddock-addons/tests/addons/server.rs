//! A server as its plan says.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;

use paddock_addons::Service as _;
use rustix::fs::{FlockOperation, Mode};
use sqlx::Connection as _;

use crate::bench::{Server, plan, until};
use crate::client::{Client, superuser, traces};
use crate::proxy::Proxy;

#[tokio::test]
async fn it_comes_back_with_what_it_had_however_it_ended() {
    let Some(mut server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await;
    let before = traces(&server).await;
    server.kill();
    server.start().await;
    assert_eq!(traces(&server).await, before);
    let mut client = Client::of(&server, &resource).await;
    assert_eq!(client.run("SELECT n FROM kept").await, ["7"]);
}

/// What does not fit is refused. A start may be, too, and then says why; with room again everything is there.
#[tokio::test]
async fn a_full_disk_takes_nothing_of_what_was_there() {
    let Some(mut server) = Server::on_a_disk_of(300).await else { return };
    let resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await;
    let filler = server.data().join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[7; 1 << 16]).is_ok() {}
    drop(file);
    let refused =
        client.refused("CREATE TABLE big AS SELECT repeat('x', 900) FROM generate_series(1, 100000)").await;
    assert!(refused.code == "53100" || refused.code.is_empty(), "{refused:?}");

    server.kill();
    server.launch();
    let mut answers = false;
    let settled = until(async || {
        answers = server.service.ready(&server.access).await.is_ok();
        answers || server.has_ended()
    });
    assert!(settled.await);
    assert!(answers || server.log().contains("No space left on device"));
    server.kill();
    std::fs::remove_file(filler).unwrap();
    server.start().await;
    let mut client = Client::of(&server, &resource).await;
    assert_eq!(client.run("SELECT n FROM kept").await, ["7"]);
    client.run("CREATE TABLE fits AS SELECT generate_series(1, 1000)").await;
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_begins_anew() {
    let Some(mut server) = Server::prepare(None) else { return };
    let (half, whole) = (server.data().join("15.new"), server.data().join("15"));
    server.launch();
    assert!(until(async || half.join("base").exists() || whole.exists()).await);
    assert!(!whole.exists(), "it was looked at too late");
    server.kill();
    server.start().await;
    assert!(!half.exists());
    // Secrets lie in memory; that of the superuser not even there, once it runs.
    assert!(!server.data().join("secrets/password").exists());
    assert_eq!(traces(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn while_another_server_has_the_files_none_begins_on_them() {
    let Some(mut server) = Server::prepare(None) else { return };
    let other = File::create(server.data().join("lock")).unwrap();
    rustix::fs::fchmod(&other, Mode::from_raw_mode(0o666)).unwrap();
    rustix::fs::flock(&other, FlockOperation::LockExclusive).unwrap();
    server.launch();
    assert!(until(async || waits_for_lock(&server)).await);
    assert!(!server.data().join("15.new").exists() && !server.data().join("15").exists());
    drop(other);
    server.wait().await;
    // The lock is the running server's now.
    let other = File::open(server.data().join("lock")).unwrap();
    assert!(rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
}

/// Whether somebody is in the queue for the lock (`->` in the kernel's list).
fn waits_for_lock(server: &Server) -> bool {
    let inode = std::fs::metadata(server.data().join("lock")).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| line.contains("->") && line.contains(&format!(":{inode} ")))
}

#[tokio::test]
async fn the_superuser_is_let_in_from_the_platform_alone_and_nobody_without_tls() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let elsewhere = Proxy::start(server.address(), Ipv4Addr::new(127, 0, 0, 2), None).await;
    let mut access = server.access.clone();
    access.address = elsewhere.address();
    let refused = server.service.ready(&access).await.unwrap_err();
    let cause = refused.source.to_string();
    assert!(cause.contains("pg_hba.conf rejects"), "{cause}");

    let login = &resource.credential.logins[0];
    let plain = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server.address().port())
        .username(&login.user)
        .password(login.password.reveal())
        .database(&resource.database)
        .ssl_mode(sqlx::postgres::PgSslMode::Disable);
    let refused = sqlx::PgConnection::connect_with(&plain).await.unwrap_err().to_string();
    assert!(refused.contains("no encryption"), "{refused}");
}

#[tokio::test]
async fn a_server_of_its_own_has_the_limits_of_its_plan() {
    let Some(server) = Server::own("standard-0").await else { return };
    let mut all = superuser(&server, "postgres").await;
    let show = async |all: &mut Client, name: &str| all.run(&format!("SHOW {name}")).await.remove(0);
    assert_eq!(show(&mut all, "max_connections").await, "130");
    assert_eq!(show(&mut all, "shared_buffers").await, "64MB");
    assert_eq!(show(&mut all, "data_checksums").await, "on");
    assert_eq!(plan("standard-0").connections, 120);
}
