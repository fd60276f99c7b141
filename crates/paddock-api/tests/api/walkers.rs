//! Every route: without a token, with a stranger's, with a bad Range. A new route is walked without being named here.

use paddock_api::{Access, Route, routes};
use serde_json::{Value, json};

use crate::support::TestPaddock;

/// Things of the owner's, for each segment of a path that stands for something.
async fn filled(t: &TestPaddock, route: &Route) -> String {
    let release = t.get("/apps/walked/releases/v3").send().await.body;
    let slug = release["slug"]["id"].as_str().unwrap().to_owned();
    let authorization =
        t.get("/oauth/authorizations").send().await.body[0]["id"].as_str().unwrap().to_owned();
    let build = t.get("/apps/walked/builds").send().await.body[0]["id"].as_str().unwrap().to_owned();
    let segment = |segment: &str| match segment {
        "{app}" => "walked".to_owned(),
        "{authorization}" => authorization.clone(),
        "{build}" => build.clone(),
        "{collaborator}" | "{user}" => crate::support::OWNER.to_owned(),
        "{domain}" => "walked.paddock.example".to_owned(),
        "{dyno}" => "web.1".to_owned(),
        "{feature}" => "preboot".to_owned(),
        "{formation}" | "{type}" => "web".to_owned(),
        "{region}" => "us".to_owned(),
        "{release}" => "v3".to_owned(),
        "{session}" => "~".to_owned(),
        "{size}" => "Basic".to_owned(),
        "{slug}" => slug.clone(),
        "{stack}" => "host".to_owned(),
        "{repository}" => "walked.git".to_owned(),
        "{secret}" | "{buildpack}" => "nonsense".to_owned(),
        other if other.starts_with('{') => {
            panic!("{} has a segment the walker does not know: {other}", route.path)
        }
        other => other.to_owned(),
    };
    route.path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A body that each call would take.
fn body_for(route: &Route) -> Value {
    match (route.method, route.path) {
        ("PATCH", "/apps/{app}/formation") => json!({ "updates": [] }),
        ("PUT", "/apps/{app}/buildpack-installations") => json!({ "updates": [] }),
        ("POST", "/apps/{app}/dynos" | "/apps/{app}/dynos/{dyno}") => json!({ "command": "ls" }),
        ("POST", "/apps/{app}/domains") => json!({ "hostname": "walk.example.org", "sni_endpoint": null }),
        ("POST", "/apps/{app}/builds") => json!({ "source_blob": { "url": "x" } }),
        ("PATCH", path) if path.contains("/features/") => json!({ "enabled": true }),
        _ => json!({}),
    }
}

async fn walked_app() -> TestPaddock {
    let t = TestPaddock::start().await;
    t.deployed_app("walked", &[("web", "serve")]).await;
    let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let put = source["put_url"].as_str().unwrap().strip_prefix("http://localhost:5000").unwrap().to_owned();
    t.put(&put).anonymous().body("x").send().await;
    let order = json!({ "source_blob": { "url": source["get_url"] } });
    t.post("/apps/walked/builds").json(order).send().await.expect(201);
    t
}

#[tokio::test]
async fn without_a_token_nothing_is_answered() {
    let t = walked_app().await;
    let mut walked = 0;
    for route in routes() {
        let path = filled(&t, &route).await;
        let answer = t.call(route.method, &path).anonymous().json(body_for(&route)).send().await;
        let expected = match route.access {
            Access::Token | Access::Challenge => 401,
            Access::Secret => 404,
            Access::Public if route.path == "/" => 200,
            Access::Public => 404,
        };
        assert_eq!(answer.status.as_u16(), expected, "{} {}", route.method, route.path);
        walked += 1;
    }
    assert!(walked > 60, "only {walked} routes were walked");
}

#[tokio::test]
async fn a_stranger_finds_nothing_of_somebody_elses() {
    let t = walked_app().await;
    let before = t.get("/apps/walked").send().await.body;
    for route in routes().iter().filter(|route| route.path.contains('{')) {
        let fixed = ["/stacks/", "/regions/", "/dyno-sizes/"];
        if fixed.iter().any(|prefix| route.path.starts_with(prefix)) || !matches!(route.access, Access::Token)
        {
            continue;
        }
        let path = filled(&t, route).await;
        let answer = t.call(route.method, &path).stranger().json(body_for(route)).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{} {}", route.method, route.path);
    }
    let after = t.get("/apps/walked").send().await.body;
    assert_eq!(before, after, "nothing was changed");
}

#[tokio::test]
async fn a_bad_range_is_told_by_every_list_that_is_cut() {
    let t = walked_app().await;
    let mut lists = 0;
    for route in routes().iter().filter(|r| r.method == "GET" && matches!(r.access, Access::Token)) {
        let path = filled(&t, route).await;
        let good = t.get(&path).send().await;
        if good.header("accept-ranges").is_none() {
            continue;
        }
        lists += 1;
        for bad in ["bytes=0-9", "nope ..", "id", "id ..; max=0", "id ..; order=sideways"] {
            let answer = t.get(&path).range(bad).send().await;
            assert_eq!(answer.refusal(), (416, "requested_range_not_satisfiable"), "{path}: {bad}");
        }
        let one = t.get(&path).range("id ..; max=1").send().await;
        assert_eq!(one.header("next-range").is_some(), one.status == 206, "{path}");
    }
    assert!(lists >= 12, "only {lists} lists were found");
}
