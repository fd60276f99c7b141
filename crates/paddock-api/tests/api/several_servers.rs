//! Two servers on one database: each does what is its own, once, also when the other is killed.

use std::sync::Arc;
use std::time::Duration;

use paddock_testkit::postgres::{PostgresServer, TestDatabase};
use serde_json::{Value, json};

use crate::support::{Place, TestPaddock};

/// An archive with a Procfile.
fn archive() -> Vec<u8> {
    let gzip = "H4sIAAAAAAACA+3PMQrCQBAF0K09RY6wazYWnsIrqKwgCIFN1OubWKbQSiHwXvOHmSlmDrU/X663En4oTnY5v3OyzB\
                hTG1KXtl3b5jz35zKFJoY/uA/jsU6n1L4fP+19my+fW4lnOe2bodRH2QQAAAAAAAAAAADW4wXQcwilACgAAA==";
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, gzip).expect("it is base64")
}

/// A build that goes on until its container ends, which in these tests nobody makes it do; its id.
async fn build(t: &TestPaddock, app: &str) -> String {
    let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let path = |url: &Value| url.as_str().expect("a URL").replace("http://localhost:5000", "");
    assert_eq!(t.put(&path(&source["put_url"])).anonymous().body(archive()).send().await.status, 200);
    let order = json!({ "source_blob": { "url": source["get_url"] } });
    let made = t.post(&format!("/apps/{app}/builds")).json(order).send().await.expect(201).clone();
    made["id"].as_str().expect("an id").to_owned()
}

/// How often the job of each app's builds was claimed, by app.
fn attempts(database: &TestDatabase) -> String {
    let sql = "SELECT string_agg(apps.name || ' ' || attempt, ', ' ORDER BY apps.name, jobs.created_at) \
               FROM jobs JOIN apps ON apps.id = jobs.app_id";
    database.sql(sql).trim().to_owned()
}

async fn claimed(t: &TestPaddock, database: &TestDatabase, expected: &str) {
    let look = async || (attempts(database) == expected).then_some(());
    t.eventually(&format!("jobs are claimed: {expected}"), look).await;
}

/// Waits until exactly one build runs in a container of this server.
async fn building(t: &TestPaddock) {
    t.eventually("a build runs", async || (t.runtime.specs().len() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_runs_the_jobs_of_its_own_apps_once_also_when_one_is_killed() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = Arc::new(server.database());
    let first = TestPaddock::start_with_accounts(Place::new(Some(database.clone()), 1)).await;
    let second = TestPaddock::start_at(first.place.beside()).await;
    first.app("alpha").await;
    let alpha = build(&first, "alpha").await;
    second.act_by_itself();
    first.act_by_itself();
    claimed(&first, &database, "alpha 1").await;
    building(&first).await;

    // Killed: its tasks end where they stand, and its lease passes some day.
    let place = first.place.clone();
    drop(first);
    let later = second.control.now() + Duration::from_secs(3600);
    let taken = second.store.claim_job("probe", "build", later, Duration::from_secs(1)).await;
    assert_eq!(taken.expect("the database answers"), None, "a job is where its app is");
    second.app("beta").await;
    build(&second, "beta").await;
    claimed(&second, &database, "alpha 1, beta 1").await;
    building(&second).await;

    let first = TestPaddock::start_at(place).await;
    first.act_by_itself();
    let path = format!("/apps/alpha/builds/{alpha}");
    first
        .eventually("the interrupted build has failed", async || {
            (first.get(&path).send().await.body["status"] == "failed").then_some(())
        })
        .await;
    claimed(&first, &database, "alpha 2, beta 1").await;
    building(&second).await;
    let running = "SELECT string_agg(apps.name, ' ') FROM jobs JOIN apps ON apps.id = jobs.app_id WHERE state = 'running'";
    assert_eq!(database.sql(running).trim(), "beta", "the other's work went on undisturbed");
}

#[tokio::test]
async fn an_app_is_listed_everywhere_and_operated_where_it_is() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = Arc::new(server.database());
    let first = TestPaddock::start_with_accounts(Place::new(Some(database), 1)).await;
    let second = TestPaddock::start_at(first.place.beside()).await;
    first.deployed_app("alpha", &[("web", "serve")]).await;
    second.app("beta").await;
    for t in [&first, &second] {
        let listed = t.get("/apps").send().await;
        let names: Vec<_> =
            listed.expect(200).as_array().expect("a list").iter().map(|app| &app["name"]).collect();
        assert_eq!(names, [&json!("alpha"), &json!("beta")]);
    }
    let taken = second.post("/apps").json(json!({ "name": "alpha" })).send().await;
    assert_eq!(taken.refusal(), (422, "invalid_params"), "names are the platform's");
    let formation = json!({ "updates": [{ "type": "web", "quantity": 2 }] });
    let scaled = second.patch("/apps/alpha/formation").json(formation.clone()).send().await;
    assert_eq!(scaled.refusal(), (409, "conflict"));
    assert!(scaled.body["message"].as_str().expect("a sentence").contains("another server"));
    assert_eq!(second.delete("/apps/alpha").send().await.refusal(), (409, "conflict"));
    first.patch("/apps/alpha/formation").json(formation).send().await.expect(200);
    assert!(second.store.all_dynos().await.expect("the database answers").is_empty());
}
