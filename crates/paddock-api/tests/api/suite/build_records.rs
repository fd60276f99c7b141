//! What is written down of builds, and what differs between two.

use std::time::Duration;

use paddock_core::build_record::{BuildRecord, FactKind, ToldBy};
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::TestPaddock;

/// A build that has ended, with this record.
async fn ended(t: &TestPaddock, app: &str, record: Option<&BuildRecord>) -> String {
    let order = json!({ "source_blob": { "url": "https://example.com/a.tgz", "version": "v1" } });
    let made = t.post(&format!("/apps/{app}/builds")).json(order).send().await.expect(201).clone();
    let (id, app_id) = (made["id"].as_str().unwrap(), made["app"]["id"].as_str().unwrap());
    let (build, app) = (id.parse().unwrap(), app_id.parse().unwrap());
    let now = t.store.build(app, build).await.unwrap().unwrap().created_at;
    let mut tx = t.store.begin_record(now, "test").await.unwrap();
    tx.fail_build(build, "compile").await.unwrap();
    if let Some(record) = record {
        tx.keep_build_record(app, build, record).await.unwrap();
    }
    tx.commit().await.unwrap();
    id.to_owned()
}

fn record(node: &str, config: &str) -> BuildRecord {
    let mut record = BuildRecord::default();
    record.note(ToldBy::Server, FactKind::Source, "version", "v1");
    record.note(ToldBy::Server, FactKind::Config, "TOKEN", config);
    record.note(ToldBy::Build, FactKind::Tool, "node", node);
    record.took(ToldBy::Server, "pack the slug", Duration::from_millis(1234));
    record.reuse(ToldBy::Build, "node/packages", false, "something that it is made of has changed");
    record
}

#[tokio::test]
async fn a_build_has_a_record_of_what_it_used() {
    let t = TestPaddock::start().await;
    t.post("/apps").json(json!({ "name": "noted" })).send().await.expect(201);
    let build = ended(&t, "noted", Some(&record("26.1.0", "aa"))).await;
    let said = t.get(&format!("/apps/noted/builds/{build}/record")).send().await.expect(200).clone();
    assert_eq!((&said["status"], &said["failure"]), (&json!("failed"), &json!("compile")));
    assert_eq!(said["build"]["id"], json!(build));
    let fact = |kind: &str, name: &str, value: &str, told_by: &str| json!({ "kind": kind, "name": name, "value": value, "told_by": told_by });
    let expected = [
        fact("source", "version", "v1", "server"),
        fact("config", "TOKEN", "aa", "server"),
        fact("tool", "node", "26.1.0", "build"),
    ];
    assert_eq!(said["facts"], json!(expected));
    assert_eq!(
        said["steps"],
        json!([{ "name": "pack the slug", "milliseconds": 1234, "told_by": "server" }])
    );
    assert_eq!(said["reuse"][0]["reused"], false);

    // Whose app it is not sees none of it; of an app that is gone nothing is kept.
    let path = format!("/apps/noted/builds/{build}/record");
    assert_eq!(t.get(&path).stranger().send().await.refusal(), (404, "not_found"));
    t.delete("/apps/noted").send().await.expect(200);
    assert_eq!(t.get(&path).send().await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn two_builds_are_told_apart_as_json_and_as_a_text() {
    let t = TestPaddock::start().await;
    t.post("/apps").json(json!({ "name": "told" })).send().await.expect(201);
    let before = ended(&t, "told", Some(&record("26.1.0", "aa"))).await;
    let after = ended(&t, "told", Some(&record("26.2.0", "bb"))).await;
    let path = format!("/apps/told/builds/{after}/explain");
    let alone = t.get(&path).send().await.expect(200).clone();
    assert_eq!((&alone["compared_with"], &alone["differences"]), (&Value::Null, &Value::Null));
    let path = format!("{path}?compare={before}");
    let beside = t.get(&path).send().await.expect(200).clone();
    assert_eq!(beside["compared_with"]["id"], json!(before));
    assert_eq!(beside["steps"][0]["milliseconds_before"], 1234);
    let differences = beside["differences"].as_array().unwrap();
    let names: Vec<_> = differences.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["node", "TOKEN"]);
    let accept = "text/plain, application/vnd.heroku+json; version=3";
    let text = t.get(&path).header("accept", accept).send().await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = String::from_utf8(text.bytes.to_vec()).unwrap();
    assert!(text.contains("  tool node: 26.1.0 -> 26.2.0\n  config TOKEN: its value is another\n"), "{text}");

    let none = format!("/apps/told/builds/{after}/explain?compare={}", Uuid::nil());
    assert_eq!(t.get(&none).send().await.refusal(), (404, "not_found"));
    let old = ended(&t, "told", None).await;
    let refused = t.get(&format!("/apps/told/builds/{old}/record")).send().await;
    assert_eq!(refused.refusal(), (404, "not_found"));
    assert!(refused.body["message"].as_str().unwrap().contains("has no record"), "{}", refused.body);
}

#[tokio::test]
async fn build_metadata_names_what_can_be_done_with_an_apps_cache_and_repository() {
    let t = TestPaddock::start().await;
    let app = t.post("/apps").json(json!({ "name": "about" })).send().await.expect(201).clone();
    let said = t.get("/apps/about/build-metadata").send().await.expect(200).clone();
    assert_eq!(said["app"], json!({ "id": app["id"], "name": "about" }));
    let cache = said["cache_delete_url"].as_str().unwrap().strip_prefix("http://localhost:5000").unwrap();
    t.delete(cache).send().await.expect(202);
    assert_eq!(said["repo_get_url"], "http://localhost:5000/about.git");
}
