//! Releases and rollback.

use paddock_runtime::{ContainerState, Exit, Runtime};
use serde_json::json;

use super::support::TestPaddock;

#[tokio::test]
async fn rolling_back_brings_the_slug_and_the_config_of_then() {
    let t = TestPaddock::start().await;
    t.deployed_app("back", &[("web", "one")]).await;
    t.patch("/apps/back/config-vars").json(json!({ "A": "then" })).send().await.expect(200);
    t.deploy("back", &[("web", "two"), ("worker", "w")]).await;
    t.patch("/apps/back/config-vars").json(json!({ "A": "now", "B": "new" })).send().await.expect(200);
    let target = t.get("/apps/back/releases/4").send().await.expect(200).clone();
    let made = t.post("/apps/back/releases").json(json!({ "release": target["id"] })).send().await;
    let made = made.expect(201);
    assert_eq!(
        (&made["version"], &made["description"], &made["current"]),
        (&json!(7), &json!("Rollback to v4"), &json!(true))
    );
    assert_eq!(made["slug"], target["slug"]);
    assert_eq!(t.get("/apps/back/config-vars").send().await.body, json!({ "A": "then" }));
    let formation = t.get("/apps/back/formation").send().await;
    assert_eq!((formation.body.as_array().unwrap().len(), &formation.body[0]["command"]), (1, &json!("one")));
}

#[tokio::test]
async fn rolling_back_leaves_what_attachments_say_as_it_is() {
    let t = TestPaddock::start().await;
    t.deployed_app("kept", &[("web", "one")]).await;
    t.attach("kept", &[("DATABASE_URL", "postgres://yesterday"), ("GONE_URL", "postgres://gone")]).await;
    t.patch("/apps/kept/config-vars")
        .json(json!({ "A": "then", "CACHE_URL": "mine" }))
        .send()
        .await
        .expect(200);
    t.patch("/apps/kept/config-vars").json(json!({ "A": "now", "CACHE_URL": null })).send().await.expect(200);
    t.attach("kept", &[("DATABASE_URL", "postgres://today"), ("CACHE_URL", "rediss://theirs")]).await;
    let made = t.post("/apps/kept/releases").json(json!({ "release": "v4" })).send().await;
    assert_eq!(made.expect(201)["description"], "Rollback to v4");
    let all = json!({ "A": "then", "CACHE_URL": "rediss://theirs", "DATABASE_URL": "postgres://today" });
    assert_eq!(t.get("/apps/kept/config-vars").send().await.expect(200), &all);
    assert_eq!(t.get("/apps/kept/releases/v6/config-vars").send().await.expect(200), &all);
    // What lost to an attachment's does not come back without it.
    t.attach("kept", &[("DATABASE_URL", "postgres://today")]).await;
    let all = json!({ "A": "then", "DATABASE_URL": "postgres://today" });
    assert_eq!(t.get("/apps/kept/config-vars").send().await.expect(200), &all);
}

#[tokio::test]
async fn the_second_eligible_release_is_the_one_before() {
    let t = TestPaddock::start().await;
    t.deployed_app("pick", &[("web", "one")]).await;
    t.patch("/apps/pick/config-vars").json(json!({ "A": "1" })).send().await.expect(200);
    let list = t.get("/apps/pick/releases").range("version ..; max=10, order=desc").send().await;
    let eligible: Vec<_> = list
        .expect(200)
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["eligible_for_rollback"] == true)
        .map(|r| r["version"].as_i64().unwrap())
        .collect();
    assert_eq!(eligible, [4, 3], "the current one is eligible, too; those without slug are not");
}

#[tokio::test]
async fn what_cannot_be_released_is_refused() {
    let t = TestPaddock::start().await;
    t.deployed_app("strict", &[("web", "one")]).await;
    t.deployed_app("other", &[("web", "one")]).await;
    let foreign = t.get("/apps/other/releases/v3").send().await.expect(200).clone();
    for (order, refusal) in [
        (json!({}), (422, "invalid_params")),
        (json!({ "release": "v1" }), (422, "invalid_params")),
        (json!({ "release": "v99" }), (404, "not_found")),
        (json!({ "release": foreign["id"] }), (404, "not_found")),
        (json!({ "slug": foreign["slug"]["id"] }), (404, "not_found")),
        (json!({ "slug": "x" }), (404, "not_found")),
        (json!({ "slug": "x", "release": "v3" }), (422, "invalid_params")),
    ] {
        let answer = t.post("/apps/strict/releases").json(order.clone()).send().await;
        assert_eq!(answer.refusal(), refusal, "{order}");
    }
    for name in ["v0", "0", "-1", "vx", "%2e%2e"] {
        assert_eq!(
            t.get(&format!("/apps/strict/releases/{name}")).send().await.refusal(),
            (404, "not_found"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_release_phase_decides_what_runs() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("phased", &[("web", "one")]).await;
    for (status, expected) in [(0, "succeeded"), (1, "failed")] {
        let made = t.deploy("phased", &[("web", "two"), ("release", "migrate")]).await;
        assert_eq!((&made["status"], &made["current"]), (&json!("pending"), &json!(false)));
        let version = made["version"].as_i64().unwrap();
        // The container of a release phase has the release's own id.
        let container = t
            .eventually("the release dyno", async || {
                let id = made["id"].as_str().unwrap();
                t.runtime.specs().iter().map(|spec| spec.id).find(|found| found.to_string() == id)
            })
            .await;
        t.runtime.exit(container, Exit { status, out_of_memory: false, killed_after_grace: false });
        let release = t
            .eventually("the end of the release phase", async || {
                let release = t.get(&format!("/apps/phased/releases/{version}")).send().await.body;
                (release["status"] != "pending").then_some(release)
            })
            .await;
        assert_eq!((&release["status"], &release["current"]), (&json!(expected), &json!(status == 0)));
        assert!(release["output_stream_url"].as_str().unwrap().contains("/streams/releases/"));
    }
}

#[tokio::test]
async fn a_config_change_waits_behind_a_release_phase() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("queued", &[("web", "one"), ("release", "migrate")]).await;
    t.patch("/apps/queued/config-vars").json(json!({ "A": "1" })).send().await.expect(200);
    let release = async |version: i64| t.get(&format!("/apps/queued/releases/{version}")).send().await.body;
    assert_eq!(
        (&release(4).await["status"], &release(4).await["slug"]),
        (&json!("pending"), &release(3).await["slug"])
    );
    for version in [3, 4] {
        assert_eq!(release(4).await["status"], "pending", "before v{version} has ended");
        let container = t
            .eventually("the release dyno", async || {
                let running = t.runtime.observe().await.unwrap();
                let mut running = running.into_iter().filter(|one| one.state == ContainerState::Running);
                running.find(|one| {
                    t.runtime
                        .spec(one.id)
                        .is_some_and(|spec| spec.command.last().is_some_and(|c| c == "migrate"))
                })
            })
            .await;
        t.runtime.exit(container.id, Exit { status: 0, out_of_memory: false, killed_after_grace: false });
        t.eventually("the release to be current", async || {
            (release(version).await["current"] == true).then_some(())
        })
        .await;
    }
}
