//! What makes something is made once, however often its request is sent.

use paddock_api::{Access, routes};
use paddock_control::request_outcome::{RequestKey, Turn};
use serde_json::json;

use super::support::TestPaddock;

#[tokio::test]
async fn a_request_that_is_sent_again_is_answered_with_what_came_of_the_first() {
    let t = TestPaddock::start().await;
    let create =
        |id: &str, body: serde_json::Value| t.post("/apps").header("request-id", id).json(body).send();
    let first = create("one,older", json!({})).await;
    let again = create("one,older,and-more", json!({})).await;
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (None, Some("true"))
    );
    assert_eq!(first.header("etag"), again.header("etag"));
    assert!(again.header("request-id").unwrap().starts_with("one,older,and-more,"));
    assert_eq!(t.get("/apps").send().await.body.as_array().unwrap().len(), 1);
    // Another call, another body, another account: other requests.
    create("two,one", json!({})).await.expect(201);
    create("one", json!({ "name": "named" })).await.expect(201);
    let stranger = t.post("/apps").stranger().header("request-id", "one").json(json!({})).send().await;
    assert_ne!(stranger.expect(201)["id"], first.body["id"]);
    assert_eq!(t.get("/apps").send().await.body.as_array().unwrap().len(), 3);
    // And without an id there is nothing to know it by.
    let (one, other) = (t.post("/apps").send().await, t.post("/apps").send().await);
    assert_ne!(one.expect(201)["id"], other.expect(201)["id"]);
}

#[tokio::test]
async fn a_token_is_told_again_and_lies_sealed_meanwhile() {
    let t = TestPaddock::start().await;
    let create = || t.post("/oauth/authorizations").header("request-id", "token").json(json!({})).send();
    let first = create().await.expect(201).clone();
    assert_eq!(create().await.expect(201), &first);
    let token = first["access_token"]["token"].as_str().unwrap();
    for file in t.database_files() {
        let bytes = std::fs::read(file).unwrap();
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()));
    }
}

#[tokio::test]
async fn of_requests_at_the_same_time_one_is_carried_out() {
    let t = TestPaddock::start().await;
    let create = || t.post("/apps").header("request-id", "at-once").json(json!({})).send();
    let (a, b, c) = tokio::join!(create(), create(), create());
    assert_eq!((a.expect(201), a.expect(201)), (b.expect(201), c.expect(201)));
    assert_eq!(t.get("/apps").send().await.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again() {
    let t = TestPaddock::start().await;
    let create = || t.post("/apps").header("request-id", "refused").json(json!({ "name": "wanted" })).send();
    let other = t.post("/apps").stranger().json(json!({ "name": "wanted" })).send().await;
    other.expect(201);
    assert_eq!(create().await.refusal(), (422, "invalid_params"));
    t.delete("/apps/wanted").stranger().send().await.expect(200);
    assert_eq!(create().await.expect(201)["name"], "wanted");
    let broken = t.post("/apps").header("request-id", "broken").body("{\"name\": ");
    assert_eq!(broken.send().await.refusal(), (400, "bad_request"));
}

#[tokio::test]
async fn an_outcome_is_known_after_a_restart_and_forgotten_after_minutes() {
    let mut t = TestPaddock::start().await;
    let first = t.post("/apps").header("request-id", "durable").send().await.expect(201).clone();
    t.stop().await;
    let t = t.another_run().await;
    let again = t.post("/apps").header("request-id", "durable").send().await;
    assert_eq!(again.expect(201), &first);
    t.clock.advance(std::time::Duration::from_secs(5 * 60 + 1));
    let later = t.post("/apps").header("request-id", "durable").send().await;
    assert_ne!(later.expect(201)["id"], first["id"]);
}

#[tokio::test]
async fn what_an_interrupted_run_has_begun_is_not_begun_again() {
    let t = TestPaddock::start().await;
    let actor = t.control.people.authenticate_token(&t.token).await.unwrap();
    let key = RequestKey::new(&actor, "cut-off", "POST", "/apps", b"");
    assert_eq!(t.control.kernel.begin_request(&actor, &key).await.unwrap(), Turn::First);
    // Killed here: neither made nor told.
    let t = t.another_run().await;
    let again = t.post("/apps").header("request-id", "cut-off").send().await;
    assert_eq!(again.refusal(), (409, "conflict"));
    assert!(again.body["message"].as_str().unwrap().contains("interrupted"), "{}", again.body);
    assert_eq!(t.get("/apps").send().await.expect(200), &json!([]));
}

#[tokio::test]
async fn every_creation_is_made_once() {
    let repeatable = [
        // Questions, ends that are the same the second time, and secrets that nothing hangs on.
        "/filters/apps",
        "/actions/addons/resolve",
        "/actions/addon-attachments/resolve",
        "/client/v11/apps/{app}/transfers/{transfer}/actions/cancel",
        "/client/v11/apps/{app}/transfers/{transfer}/actions/public-url",
        "/client/v11/databases/{database}/connection_reset",
        "/postgres/v0/databases/{database}/repair-default",
        "/apps/{app}/dynos/{dyno}/actions/stop",
        "/apps/{app}/formations/{type}/actions/stop",
        "/apps/{app}/log-sessions",
    ];
    for route in routes().iter().filter(|route| route.method == "POST" && route.access == Access::Token) {
        assert_eq!(route.is_once, !repeatable.contains(&route.path), "{}", route.path);
    }
}
