//! Steps that lose their connection after each message, and are repeated.

use std::net::Ipv4Addr;

use paddock_addons::{Login, Resource, ServerAccess, Service as _, StepError};

use crate::bench::{Server, plan, random};
use crate::client::{Client, traces};
use crate::proxy::Proxy;

/// More messages than any step has.
const MESSAGES_MAX: usize = 300;

/// Carries a step out that loses its connection after so many messages, and then as it should be. Whether it was cut off.
async fn cut_off_and_repeated(
    server: &Server,
    messages: usize,
    step: impl AsyncFn(ServerAccess) -> Result<(), StepError>,
) -> bool {
    let proxy = Proxy::start(server.address(), Ipv4Addr::LOCALHOST, Some(messages)).await;
    let access = ServerAccess { address: proxy.address(), ..server.access.clone() };
    let outcome = step(access).await;
    let cut = proxy.has_cut();
    assert!(cut || outcome.is_ok(), "{outcome:?}");
    step(server.access.clone()).await.unwrap();
    cut
}

/// A step and the one that undoes it, cut off after each of their messages in turn, and each time what became of it. How many
/// there are.
async fn there_and_back(
    server: &Server,
    there: impl AsyncFn(ServerAccess) -> Result<(), StepError>,
    mut is_there: impl AsyncFnMut(),
    back: impl AsyncFn(ServerAccess) -> Result<(), StepError>,
    mut is_back: impl AsyncFnMut(),
) -> usize {
    for messages in 1..MESSAGES_MAX {
        let cut_there = cut_off_and_repeated(server, messages, &there).await;
        is_there().await;
        let cut_back = cut_off_and_repeated(server, messages, &back).await;
        is_back().await;
        if !cut_there && !cut_back {
            return messages - 1;
        }
    }
    panic!("the steps have no end");
}

/// The names of what a database of one credential has.
fn wanted(resource: &Resource) -> Vec<String> {
    let user = &resource.credential.logins[0].user;
    let mut names = vec![
        format!("database {}", resource.database),
        format!("role {}", resource.credential.role),
        format!("role {user}"),
    ];
    names.sort();
    names
}

#[tokio::test]
async fn making_and_taking_down_converge_wherever_they_were_cut_off() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.service.name(plan("essential-0"), &mut random);
    let messages = there_and_back(
        &server,
        async |access| server.service.provision(&access, &resource).await,
        async || {
            assert_eq!(traces(&server).await, wanted(&resource));
            let mut client = Client::of(&server, &resource).await;
            client.run("CREATE TABLE t (n int); SELECT _heroku.pg_stat_statements_reset()").await;
            client.close().await;
        },
        async |access| server.service.deprovision(&access, &resource).await,
        async || assert_eq!(traces(&server).await, Vec::<String>::new()),
    )
    .await;
    assert!(messages > 10, "{messages}");
}

#[tokio::test]
async fn restricting_and_lifting_converge_wherever_they_were_cut_off() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let owner = &resource.credential.logins[0];
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE t (n int); GRANT INSERT ON t TO PUBLIC").await;
    client.close().await;
    let reader: Login = server.service.new_login(&mut random);
    let messages = there_and_back(
        &server,
        async |access| server.service.restrict(&access, &resource, &reader).await,
        async || {
            let mut reader = Client::open(&server, &reader, &resource.database).await.unwrap();
            reader.run("DELETE FROM t").await;
            reader.refused("INSERT INTO t VALUES (1)").await;
            reader.close().await;
            assert!(Client::open(&server, owner, &resource.database).await.is_err());
        },
        async |access| server.service.lift_restriction(&access, &resource).await,
        async || {
            let mut client = Client::of(&server, &resource).await;
            client.run("INSERT INTO t VALUES (1)").await;
            let granted = client.run("SELECT has_table_privilege('public', 't', 'INSERT')").await;
            assert_eq!(granted, ["t"]);
            client.close().await;
            assert_eq!(traces(&server).await, wanted(&resource));
        },
    )
    .await;
    assert!(messages > 10, "{messages}");
}

#[tokio::test]
async fn credentials_come_and_go_wherever_they_were_cut_off() {
    let Some(server) = Server::own("standard-0").await else { return };
    let resource = server.make("standard-0").await;
    let credential = server.service.new_credential("reader", &mut random);
    let mut owner = Client::of(&server, &resource).await;
    let messages = there_and_back(
        &server,
        async |access| server.service.put_credential(&access, &resource, &credential).await,
        async || {
            owner.run(&format!("GRANT CREATE ON SCHEMA public TO {}", credential.role)).await;
            let mut client = Client::open(&server, &credential.logins[0], &resource.database).await.unwrap();
            client.run("CREATE TABLE theirs (n int)").await;
            client.close().await;
        },
        async |access| server.service.destroy_credential(&access, &resource, &credential).await,
        async || {
            let mut heir = Client::of(&server, &resource).await;
            heir.run("DROP TABLE theirs").await;
            heir.close().await;
            assert_eq!(traces(&server).await, wanted(&resource));
        },
    )
    .await;
    assert!(messages > 10, "{messages}");
}
