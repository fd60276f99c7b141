//! Steps that lose their connection after each message, and are repeated.

use std::net::Ipv4Addr;

use paddock_addons::{Login, Resource, ServerAccess, Service as _, StepError};

use crate::bench::{Server, plan, random};
use crate::client::{Client, traces};
use crate::proxy::Proxy;

/// More messages than any step has.
const MESSAGES_MAX: usize = 300;

/// Carries a step out with the connection cut off after each of its messages in turn, each time followed by the step as it
/// should be and by a look at what became of it. How often it was cut off.
async fn at_each_message(
    server: &Server,
    mut prepare: impl AsyncFnMut(),
    step: impl AsyncFn(ServerAccess) -> Result<(), StepError>,
    mut check: impl AsyncFnMut(),
) -> usize {
    for messages in 1..MESSAGES_MAX {
        prepare().await;
        let proxy = Proxy::start(server.address(), Ipv4Addr::LOCALHOST, Some(messages)).await;
        let access = ServerAccess { address: proxy.address(), ..server.access.clone() };
        let outcome = step(access).await;
        let cut = proxy.has_cut();
        assert!(cut || outcome.is_ok(), "{outcome:?}");
        step(server.access.clone()).await.unwrap();
        check().await;
        if !cut {
            return messages - 1;
        }
    }
    panic!("the step has no end");
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
async fn provisioning_converges_wherever_it_was_cut_off() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.service.name(plan("essential-0"), &mut random);
    let cuts = at_each_message(
        &server,
        async || server.service.deprovision(&server.access, &resource).await.unwrap(),
        async |access| server.service.provision(&access, &resource).await,
        async || {
            assert_eq!(traces(&server).await, wanted(&resource));
            let mut client = Client::of(&server, &resource).await;
            client.run("CREATE TABLE t (n int); SELECT _heroku.pg_stat_statements_reset()").await;
        },
    )
    .await;
    assert!(cuts > 10, "{cuts}");
}

#[tokio::test]
async fn deprovisioning_leaves_nothing_wherever_it_was_cut_off() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.service.name(plan("essential-0"), &mut random);
    let cuts = at_each_message(
        &server,
        async || server.service.provision(&server.access, &resource).await.unwrap(),
        async |access| server.service.deprovision(&access, &resource).await,
        async || assert_eq!(traces(&server).await, Vec::<String>::new()),
    )
    .await;
    assert!(cuts > 5, "{cuts}");
}

#[tokio::test]
async fn restricting_and_lifting_converge_wherever_they_were_cut_off() {
    let Some(server) = Server::shared().await else { return };
    let resource = server.make("essential-0").await;
    let mut client = Client::of(&server, &resource).await;
    client.run("CREATE TABLE t (n int); GRANT INSERT ON t TO PUBLIC").await;
    client.close().await;
    let reader: Login = server.service.new_login(&mut random);
    let restricted = async || {
        let mut reader = Client::open(&server, &reader, &resource.database).await.unwrap();
        reader.run("DELETE FROM t").await;
        reader.refused("INSERT INTO t VALUES (1)").await;
        reader.close().await;
        assert!(Client::open(&server, &resource.credential.logins[0], &resource.database).await.is_err());
    };
    let lifted = async || {
        assert!(Client::open(&server, &reader, &resource.database).await.is_err());
        let mut client = Client::of(&server, &resource).await;
        client.run("INSERT INTO t VALUES (1)").await;
        let granted = client.run("SELECT has_table_privilege('public', 't', 'INSERT')").await;
        assert_eq!(granted, ["t"]);
        client.close().await;
        assert_eq!(traces(&server).await, wanted(&resource));
    };
    let restrict = async |access: ServerAccess| server.service.restrict(&access, &resource, &reader).await;
    let lift = async |access: ServerAccess| server.service.lift_restriction(&access, &resource).await;
    let cuts =
        at_each_message(&server, async || lift(server.access.clone()).await.unwrap(), restrict, restricted)
            .await;
    assert!(cuts > 10, "{cuts}");
    let cuts =
        at_each_message(&server, async || restrict(server.access.clone()).await.unwrap(), lift, lifted).await;
    assert!(cuts > 10, "{cuts}");
}

#[tokio::test]
async fn credentials_converge_wherever_they_were_cut_off() {
    let Some(server) = Server::own("standard-0").await else { return };
    let resource = server.make("standard-0").await;
    let credential = server.service.new_credential(&mut random);
    let put =
        async |access: ServerAccess| server.service.put_credential(&access, &resource, &credential).await;
    let destroy =
        async |access: ServerAccess| server.service.destroy_credential(&access, &resource, &credential).await;
    at_each_message(
        &server,
        async || destroy(server.access.clone()).await.unwrap(),
        put,
        async || {
            Client::open(&server, &credential.logins[0], &resource.database).await.unwrap().close().await;
        },
    )
    .await;
    let mut owner = Client::of(&server, &resource).await;
    let grant = format!("GRANT CREATE ON SCHEMA public TO {}", credential.role);
    at_each_message(
        &server,
        async || {
            put(server.access.clone()).await.unwrap();
            owner.run(&grant).await;
            let mut client = Client::open(&server, &credential.logins[0], &resource.database).await.unwrap();
            client.run("CREATE TABLE theirs (n int)").await;
        },
        destroy,
        async || {
            let mut heir = Client::of(&server, &resource).await;
            heir.run("DROP TABLE theirs").await;
            assert_eq!(traces(&server).await, wanted(&resource));
        },
    )
    .await;
}
