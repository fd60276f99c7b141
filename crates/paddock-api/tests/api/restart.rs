//! The database restarts under a server in use, or has what a server cannot read.

use std::sync::Arc;
use std::time::Duration;

use paddock_testkit::postgres::PostgresServer;
use serde_json::json;

use crate::support::{Place, TestPaddock};

/// What is asked meanwhile waits, and is done once; what waits too long is refused in the API's own form. A second server
/// of the database is the one with too little patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_for_a_database_that_restarts() {
    let Some(server) = PostgresServer::start() else { return };
    let database = Arc::new(server.database());
    let t = TestPaddock::start_with_accounts(Place::new(Some(database.clone()), 1)).await;
    let impatient = t.place.beside().with_patience(Duration::from_secs(1));
    let impatient = TestPaddock::start_at(impatient).await;
    t.app("before").await;
    server.stop();
    let refused = impatient.post("/apps").json(json!({ "name": "refused" })).send().await;
    assert_eq!(refused.refusal(), (503, "service_unavailable"));
    let message = refused.body["message"].as_str().expect("a sentence");
    assert!(message.contains("database") && message.contains("again"), "{message}");

    let waits = t.post("/apps").json(json!({ "name": "waits" })).send();
    let restart = tokio::task::spawn_blocking(move || {
        server.start_again();
        server
    });
    let (made, server) = tokio::join!(waits, restart);
    let _server = server.expect("it starts");
    made.expect(201);
    let listed = t.get("/apps").send().await;
    let names: Vec<_> =
        listed.expect(200).as_array().expect("a list").iter().map(|app| &app["name"]).collect();
    assert_eq!(names, [&json!("before"), &json!("waits")]);
    assert_eq!(database.sql("SELECT count(*) FROM events WHERE kind = 'app.create'").trim(), "2");
}

/// What a version to come wrote, say, is one app's trouble.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_cannot_be_read_keeps_no_other_from_its_dynos() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = Arc::new(server.database());
    let t = TestPaddock::start_with_accounts(Place::new(Some(database.clone()), 1)).await;
    for app in ["ill", "well"] {
        t.deployed_app(app, &[("web", "serve")]).await;
    }
    let ill =
        "UPDATE formation SET size = 'Unheard-Of' WHERE app_id = (SELECT id FROM apps WHERE name = 'ill')";
    database.sql(ill);
    t.act_by_itself();
    t.eventually("the other's dyno is up", async || {
        let dynos = t.get("/apps/well/dynos").send().await;
        (dynos.expect(200)[0]["state"] == "up").then_some(())
    })
    .await;
    assert_eq!(t.runtime.specs().len(), 1);
}
