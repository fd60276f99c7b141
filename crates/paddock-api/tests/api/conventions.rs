//! What holds for every call: version, credentials, request ids, tags, ranges, errors.

use serde_json::json;

use crate::support::{OWNER, PASSWORD, TestPaddock, VERSION_3};

#[tokio::test]
async fn only_version_3_is_served() {
    let t = TestPaddock::start().await;
    for accept in ["*/*", "application/json", "application/vnd.heroku+json; version=2", "text/html"] {
        let answer = t.get("/account").header("accept", accept).send().await;
        assert_eq!(answer.refusal(), (406, "not_acceptable"), "{accept}");
    }
    assert_eq!(t.get("/account").without_header("accept").send().await.refusal(), (406, "not_acceptable"));
    for accept in [
        VERSION_3,
        "application/vnd.heroku+json; version=3.sdk",
        "text/html, application/vnd.heroku+json; version=3",
    ] {
        t.get("/account").header("accept", accept).send().await.expect(200);
    }
}

#[tokio::test]
async fn credentials_come_in_every_form_that_clients_use() {
    let t = TestPaddock::start().await;
    for user in ["", "heroku", "_", OWNER] {
        t.get("/account").basic(user, &t.token).send().await.expect(200);
    }
    for refused in [
        t.get("/account").anonymous(),
        t.get("/account").token("undefined"),
        t.get("/account").basic("", ""),
        t.get("/account").basic(OWNER, PASSWORD),
        t.get("/account").header("authorization", "Digest x"),
    ] {
        assert_eq!(refused.send().await.refusal(), (401, "unauthorized"));
    }
}

#[tokio::test]
async fn request_ids_are_sent_back_with_one_of_ours() {
    let t = TestPaddock::start().await;
    let fresh = t.get("/account").send().await;
    assert!(fresh.header("request-id").unwrap().parse::<uuid::Uuid>().is_ok());
    let answer = t.get("/account").header("request-id", "a,b").send().await;
    let ids: Vec<_> = answer.header("request-id").unwrap().split(',').collect();
    assert_eq!(ids[..2], ["a", "b"]);
    assert!(ids.len() == 3 && ids[2].parse::<uuid::Uuid>().is_ok());
    let long = "x".repeat(9000);
    let answer = t.get("/account").header("request-id", &long).send().await;
    assert!(answer.header("request-id").unwrap().len() < 100);
}

#[tokio::test]
async fn a_known_body_is_not_sent_again() {
    let t = TestPaddock::start().await;
    t.app("tagged").await;
    let first = t.get("/apps/tagged").send().await;
    let tag = first.header("etag").unwrap();
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = t.get("/apps/tagged").header("if-none-match", &known).send().await;
        assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0), "{known}");
        assert_eq!(again.header("etag"), Some(tag));
    }
    t.patch("/apps/tagged").json(json!({ "maintenance": true })).send().await.expect(200);
    t.get("/apps/tagged").header("if-none-match", tag).send().await.expect(200);
}

#[tokio::test]
async fn lists_are_cut_into_pages_that_lead_on() {
    let t = TestPaddock::start().await;
    for name in ["paged-a", "paged-b", "paged-c"] {
        t.app(name).await;
    }
    let first = t.get("/apps").range("name ..; max=2").send().await;
    first.expect(206);
    assert_eq!(first.header("content-range"), Some("name paged-a..paged-b"));
    assert_eq!(first.header("accept-ranges"), Some("id, name"));
    let next = first.header("next-range").unwrap().to_owned();
    let second = t.get("/apps").range(&next).send().await;
    assert_eq!(second.expect(200)[0]["name"], "paged-c");
    assert_eq!(second.header("next-range"), None);
    let descending = t.get("/apps").range("name ..; order=desc,max=1").send().await;
    assert_eq!(descending.expect(206)[0]["name"], "paged-c");
    assert_eq!(t.get("/apps").range("").send().await.expect(200).as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_named() {
    let t = TestPaddock::start().await;
    let malformed = t.post("/apps").body("{\"name\": ").send().await;
    assert_eq!(malformed.refusal(), (400, "bad_request"));
    let wrong = t.post("/apps").json(json!({ "name": 7 })).send().await;
    assert_eq!(wrong.refusal(), (422, "invalid_params"));
    let large = t.post("/apps").body(vec![b' '; 2 << 20]).send().await;
    assert_eq!(large.refusal(), (413, "payload_too_large"));
    let empty = t.post("/apps").send().await;
    assert!(
        empty.expect(201)["name"].as_str().unwrap().len() > 5,
        "an absent body is fine where all is optional"
    );
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    for (path, word) in [
        ("/pipelines", "Pipelines"),
        ("/apps/plain/pipeline-couplings", "Pipelines"),
        ("/teams", "Teams"),
        ("/addons", "Add-ons"),
        ("/spaces/x", "Spaces"),
    ] {
        let answer = t.get(path).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{path}");
        assert!(answer.body["message"].as_str().unwrap().contains(word), "{path}: {}", answer.body);
    }
    assert_eq!(t.get("/no/such/path").send().await.refusal(), (404, "not_found"));
    assert_eq!(t.put("/apps").send().await.refusal(), (404, "not_found"), "a known path, another verb");
    assert_eq!(t.get("/no/such/path").anonymous().send().await.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn the_rate_limit_is_told_and_asking_for_it_is_free() {
    let t = TestPaddock::start().await;
    for _ in 0..5 {
        t.get("/account").send().await.expect(200);
    }
    let answer = t.get("/account").send().await;
    let left: u64 = answer.header("ratelimit-remaining").unwrap().parse().unwrap();
    assert!((4000..4500).contains(&left), "{left}");
    let asked = t.get("/account/rate-limits").send().await;
    let told = asked.expect(200)["remaining"].as_u64().unwrap();
    assert!(told >= left, "asking took nothing: {left} then {told}");
}

#[tokio::test]
async fn the_front_page_tells_how_to_begin() {
    let t = TestPaddock::start().await;
    let text = t.get("/").anonymous().without_header("accept").send().await;
    assert_eq!(text.status, 200);
    let text = String::from_utf8(text.bytes.to_vec()).unwrap();
    assert!(text.contains("HEROKU_HOST=http://localhost:5000") && text.contains("paddock.example"), "{text}");
    let html =
        t.get("/").anonymous().header("accept", "text/html,*/*").header("host", "<script>").send().await;
    let html = String::from_utf8(html.bytes.to_vec()).unwrap();
    assert!(html.starts_with("<!doctype html>") && !html.contains("<script>"), "{html}");
}

#[tokio::test]
async fn addresses_are_given_back_as_the_client_reached_us() {
    let t = TestPaddock::start().await;
    let plain = t.post("/sources").send().await;
    let url = plain.expect(201)["source_blob"]["put_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://localhost:5000/sources/"), "{url}");
    let tls = t.post("/sources").over_tls().header("host", "api.paddock.example").send().await;
    let url = tls.expect(201)["source_blob"]["get_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://api.paddock.example/sources/"), "{url}");
}
