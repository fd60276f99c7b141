//! Favorites, and the hosts of the proxy form.

use serde_json::{Value, json};

use super::support::TestPaddock;

async fn names(t: &TestPaddock) -> Vec<Value> {
    let listed = t.get("/favorites?type=app").send().await.expect(200).clone();
    listed.as_array().unwrap().iter().map(|favorite| favorite["resource_name"].clone()).collect()
}

#[tokio::test]
async fn an_app_becomes_a_favorite_of_one_account_and_stops_being_it() {
    let t = TestPaddock::start().await;
    let app = t.app("liked").await;
    t.app("other").await;
    assert!(names(&t).await.is_empty());
    let order = |app: &str| json!({ "resource_id": app, "type": "app" });
    let made = t.post("/favorites").json(order("liked")).send().await.expect(201).clone();
    assert_eq!((&made["resource_id"], &made["type"]), (&app["id"], &json!("app")));
    // Again, as after an answer that was lost.
    let again =
        t.post("/favorites").json(order(app["id"].as_str().unwrap())).send().await.expect(201).clone();
    assert_eq!(again, made);
    assert_eq!(names(&t).await, ["liked"]);
    let strangers = t.get("/favorites").stranger().send().await.expect(200).clone();
    assert_eq!(strangers, json!([]));
    let refused = t.post("/favorites").stranger().json(order("liked")).send().await;
    assert_eq!(refused.refusal(), (404, "not_found"));
    let path = format!("/favorites/{}", made["id"].as_str().unwrap());
    assert_eq!(t.delete(&path).stranger().send().await.refusal(), (404, "not_found"));
    assert_eq!(t.get("/favorites?type=pipeline").send().await.refusal(), (404, "not_found"));

    t.patch("/apps/liked").json(json!({ "name": "loved" })).send().await.expect(200);
    assert_eq!(names(&t).await, ["loved"]);
    t.delete(&path).send().await.expect(200);
    assert!(names(&t).await.is_empty());
    assert_eq!(t.delete(&path).send().await.refusal(), (404, "not_found"));
    t.post("/favorites").json(order("loved")).send().await.expect(201);
    t.delete("/apps/loved").send().await.expect(200);
    assert!(names(&t).await.is_empty(), "a destroyed app is nobody's favorite");
}

#[tokio::test]
async fn hosts_that_are_not_built_say_so_and_urls_lead_past_the_proxy() {
    let t = TestPaddock::start().await;
    t.app("seen").await;
    for (host, word) in [
        ("kolkrabbi.heroku.com", "GitHub"),
        ("telex.heroku.com", "Notifications"),
        ("api.metrics.heroku.com:443", "Metrics"),
        ("api.metrics.herokai.com", "Metrics"),
        ("registry.paddock.herokudev.com", "registry"),
    ] {
        let answer = t.get("/apps/seen").over_tls().header("host", host).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{host}");
        assert!(answer.body["message"].as_str().unwrap().contains(word), "{host}: {}", answer.body);
    }
    let registry = t.get("/v2/").anonymous().header("host", "registry.paddock.herokudev.com").send().await;
    assert_eq!(
        (registry.status.as_u16(), &registry.body["errors"][0]["code"]),
        (401, &json!("UNAUTHORIZED"))
    );

    let api = "api.paddock.herokudev.com";
    let session =
        t.post("/apps/seen/log-sessions").over_tls().header("host", api).json(json!({})).send().await;
    let url = session.expect(201)["logplex_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://127.0.0.1:5000/streams/logs/"), "{url}");
}
