//! The formation.

use serde_json::{Value, json};

use super::support::TestPaddock;

fn quantities(formation: &Value) -> Vec<(String, i64, String)> {
    let one = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("type"), row["quantity"].as_i64().unwrap(), text("size"))
    };
    let mut rows: Vec<_> = formation.as_array().unwrap().iter().map(one).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn the_first_deploy_starts_one_web_dyno_and_nothing_else() {
    let t = TestPaddock::start().await;
    t.deployed_app("shape", &[("web", "run web"), ("worker", "run worker"), ("release", "migrate")]).await;
    // A release phase waits for its dyno: until then nothing is current.
    assert_eq!(t.get("/apps/shape/formation").send().await.body, json!([]));
    t.deployed_app("plain", &[("web", "run web"), ("worker", "run worker")]).await;
    let formation = t.get("/apps/plain/formation").send().await;
    let expected = [("web".into(), 1, "Basic".into()), ("worker".into(), 0, "Basic".into())];
    assert_eq!(quantities(formation.expect(200)), expected);
}

#[tokio::test]
async fn scaling_takes_numbers_texts_and_differences() {
    let t = TestPaddock::start().await;
    t.deployed_app("scale", &[("web", "x"), ("worker", "y")]).await;
    let patch = |updates: Value| t.patch("/apps/scale/formation").json(json!({ "updates": updates })).send();
    let answer = patch(json!([{ "type": "web", "quantity": "2" }, { "type": "worker", "quantity": 1, "size": "standard-2x" }])).await;
    let expected = [("web".into(), 2, "Basic".into()), ("worker".into(), 1, "Standard-2X".into())];
    assert_eq!(quantities(answer.expect(200)), expected);
    let answer =
        patch(json!([{ "type": "web", "quantity": "+1" }, { "type": "worker", "quantity": "-1" }])).await;
    let expected = [("web".into(), 3, "Basic".into()), ("worker".into(), 0, "Standard-2X".into())];
    assert_eq!(quantities(answer.expect(200)), expected);
    let one = t
        .patch("/apps/scale/formation/web")
        .json(json!({ "quantity": 1, "dyno_size": { "name": "Basic" } }))
        .send()
        .await;
    assert_eq!(one.expect(200)["quantity"], 1);
    let log = t.post("/apps/scale/log-sessions").json(json!({ "lines": 50 })).send().await;
    let log = t
        .get(log.expect(201)["logplex_url"].as_str().unwrap().strip_prefix("http://localhost:5000").unwrap())
        .anonymous()
        .send()
        .await;
    let log = String::from_utf8(log.bytes.to_vec()).unwrap();
    assert!(
        log.contains("app[api]: Scaled to web@2:Basic worker@1:Standard-2X by user owner@example.com"),
        "{log}"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_whole() {
    let t = TestPaddock::start().await;
    t.deployed_app("limits", &[("web", "x"), ("worker", "y")]).await;
    for (updates, refusal) in [
        (json!([{ "type": "web", "quantity": 2 }, { "type": "nope", "quantity": 1 }]), (404, "not_found")),
        (json!([{ "type": "web", "quantity": -1 }]), (422, "invalid_params")),
        (json!([{ "type": "web", "quantity": "-2" }]), (422, "invalid_params")),
        (json!([{ "type": "web", "quantity": 101 }]), (422, "invalid_params")),
        (
            json!([{ "type": "web", "quantity": 60 }, { "type": "worker", "quantity": 60 }]),
            (422, "invalid_params"),
        ),
        (json!([{ "type": "web", "size": "gigantic" }]), (422, "invalid_params")),
        (json!([{ "type": "web", "quantity": "many" }]), (422, "invalid_params")),
        (json!([{ "quantity": 1 }]), (422, "invalid_params")),
        (json!([{ "type": "web", "docker_image": null }]), (404, "not_found")),
    ] {
        let answer = t.patch("/apps/limits/formation").json(json!({ "updates": updates })).send().await;
        assert_eq!(answer.refusal(), refusal, "{updates}");
    }
    let formation = t.get("/apps/limits/formation").send().await;
    assert_eq!(quantities(&formation.body)[0].1, 1, "nothing of a refused change is kept");
}

#[tokio::test]
async fn process_types_that_vanish_are_dropped_and_new_ones_wait() {
    let t = TestPaddock::start().await;
    t.deployed_app("moving", &[("web", "x"), ("worker", "y")]).await;
    t.patch("/apps/moving/formation")
        .json(json!({ "updates": [{ "type": "web", "quantity": 3 }] }))
        .send()
        .await
        .expect(200);
    t.deploy("moving", &[("web", "x2"), ("clock", "tick")]).await;
    let formation = t.get("/apps/moving/formation").send().await;
    let expected = [("clock".into(), 0, "Basic".into()), ("web".into(), 3, "Basic".into())];
    assert_eq!(quantities(formation.expect(200)), expected);
}
