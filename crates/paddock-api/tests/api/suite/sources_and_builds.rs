//! Sources, builds and their output.

use std::future::pending;
use std::time::Duration;

use futures_util::stream;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::support::TestPaddock;

fn path(url: &Value) -> String {
    url.as_str().unwrap().strip_prefix("http://localhost:5000").unwrap().to_owned()
}

async fn uploaded(t: &TestPaddock, bytes: &'static [u8]) -> Value {
    let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    assert_eq!(t.put(&path(&source["put_url"])).anonymous().body(bytes).send().await.status, 200);
    source
}

#[tokio::test]
async fn an_archive_is_put_and_got_by_secrets_alone() {
    let t = TestPaddock::start().await;
    let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let (put, get) = (path(&source["put_url"]), path(&source["get_url"]));
    assert_eq!(t.get(&get).anonymous().send().await.refusal(), (404, "not_found"), "nothing is there yet");
    assert_eq!(
        t.put(&get).anonymous().body("x").send().await.refusal(),
        (404, "not_found"),
        "the other secret"
    );
    assert_eq!(t.put(&put).anonymous().body("first").send().await.status, 200);
    assert_eq!(t.put(&put).anonymous().body("second").send().await.status, 200);
    let got = t.get(&get).anonymous().send().await;
    assert_eq!(
        (got.status.as_u16(), &got.bytes[..], got.header("content-length")),
        (200, &b"second"[..], Some("6"))
    );
    t.clock.advance(Duration::from_secs(25 * 60 * 60));
    assert_eq!(t.get(&get).anonymous().send().await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn an_account_has_room_for_so_many_bytes_of_sources() {
    let t = TestPaddock::start().await;
    let first = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let put_secret = path(&first["put_url"]).rsplit('/').next().unwrap().to_owned();
    let stored = t.store.source_by_put_secret(&Sha256::digest(put_secret).into()).await.unwrap().unwrap();
    let mut tx = t.store.begin_record(stored.created_at, "test").await.unwrap();
    tx.set_source_uploaded(stored.id, 5 << 30, [0; 32]).await.unwrap();
    tx.commit().await.unwrap();
    let second = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let put = || t.put(&path(&second["put_url"])).anonymous().body("x").send();
    let refused = put().await;
    assert_eq!(refused.refusal(), (422, "invalid_params"));
    assert!(refused.body["message"].as_str().unwrap().contains("5120 MB"), "{}", refused.body);
    let foreign = t.post("/sources").stranger().send().await.expect(201)["source_blob"].clone();
    assert_eq!(t.put(&path(&foreign["put_url"])).anonymous().body("x").send().await.status, 200);
    t.clock.advance(Duration::from_secs(25 * 60 * 60));
    assert_eq!(put().await.refusal(), (404, "not_found"), "it has expired with the first");
    uploaded(&t, b"there is room again").await;
}

#[tokio::test]
async fn the_uploads_of_an_account_leave_turns_for_others() {
    let t = TestPaddock::start().await;
    let mut held = JoinSet::new();
    for _ in 0..4 {
        let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
        let put_secret = path(&source["put_url"]).rsplit('/').next().unwrap().to_owned();
        let (asked, is_asked) = oneshot::channel();
        let never_ends = stream::once(async move {
            let _ = asked.send(());
            pending().await
        });
        let control = t.control.clone();
        held.spawn(async move { control.deploy.upload_source(&put_secret, Box::pin(never_ends)).await });
        is_asked.await.unwrap();
    }
    let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let put = || t.put(&path(&source["put_url"])).anonymous().body("x").send();
    assert_eq!(put().await.refusal(), (503, "service_unavailable"));
    let foreign = t.post("/sources").stranger().send().await.expect(201)["source_blob"].clone();
    assert_eq!(t.put(&path(&foreign["put_url"])).anonymous().body("x").send().await.status, 200);
    held.shutdown().await;
    assert_eq!(put().await.status, 200, "a turn ends with its upload");
}

#[tokio::test]
async fn what_is_said_of_a_source_is_short() {
    let t = TestPaddock::start().await;
    t.app("said").await;
    let source = uploaded(&t, b"archive").await;
    for (name, text) in [("version", "v".repeat(1025)), ("version_description", "d".repeat(1025))] {
        let order = json!({ "source_blob": { "url": source["get_url"], name: text } });
        let refused = t.post("/apps/said/builds").json(order).send().await;
        assert_eq!(refused.refusal(), (422, "invalid_params"), "{name}");
        assert!(refused.body["message"].as_str().unwrap().contains(name), "{}", refused.body);
    }
}

#[tokio::test]
async fn a_build_takes_uploaded_sources_of_its_owner_only() {
    let t = TestPaddock::start().await;
    t.app("built").await;
    let order = |url: &Value| json!({ "source_blob": { "url": url, "version": "v1" } });
    let build = |order: Value| t.post("/apps/built/builds").json(order).send();
    let empty = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    for url in [
        &json!("ftp://example.com/a.tgz"),
        &json!("https://example.com:25/a.tgz"),
        &json!("http://localhost:5000/sources/nobodys"),
        &json!("file:///etc/passwd"),
        &json!("x"),
        &empty["get_url"],
        &empty["put_url"],
    ] {
        assert_eq!(build(order(url)).await.refusal(), (422, "invalid_params"), "{url}");
    }
    let foreign = t.post("/sources").stranger().send().await.expect(201)["source_blob"].clone();
    t.put(&path(&foreign["put_url"])).anonymous().body("x").send().await;
    assert_eq!(build(order(&foreign["get_url"])).await.refusal(), (422, "invalid_params"));
    let source = uploaded(&t, b"archive").await;
    let mut bad = order(&source["get_url"]);
    bad["source_blob"]["checksum"] = json!("MD5:0");
    assert_eq!(build(bad).await.refusal(), (422, "invalid_params"));

    let made = build(order(&source["get_url"])).await;
    let made = made.expect(201).clone();
    assert_eq!(
        (&made["status"], &made["slug"], &made["release"]),
        (&json!("pending"), &Value::Null, &Value::Null)
    );
    let secret = path(&source["get_url"]).rsplit('/').next().unwrap().to_owned();
    assert!(!made.to_string().contains(&secret), "the source's secret is not shown to collaborators");
    let second = build(order(&source["get_url"])).await;
    assert_eq!(second.refusal(), (409, "conflict"));
    let message = second.body["message"].as_str().unwrap();
    // What it says to call is there, and cancels the build.
    let (said, address) = message.rsplit_once(" http://ADDRESS").unwrap();
    let address = address.split(' ').next().unwrap();
    assert!(said.contains("curl -X DELETE"), "{message}");
    assert!(address.ends_with(&format!("/builds/{}", made["id"].as_str().unwrap())), "{message}");
    t.get(address).send().await.expect(200);
    let listed = t.get("/apps/built/builds").send().await;
    assert_eq!(listed.expect(200)[0]["id"], made["id"]);
}

#[tokio::test]
async fn a_cancelled_build_has_failed() {
    let t = TestPaddock::start_alive().await;
    t.app("cancelled").await;
    let source = uploaded(&t, b"archive").await;
    let order = json!({ "source_blob": { "url": source["get_url"] } });
    let made = t.post("/apps/cancelled/builds").json(order).send().await.expect(201).clone();
    let path = format!("/apps/cancelled/builds/{}", made["id"].as_str().unwrap());
    let ended = t.delete(&path).send().await;
    // It may have failed by itself before: this archive is none.
    if ended.status == 200 {
        assert_eq!(ended.body["status"], "failed");
    }
    assert_eq!(t.get(&path).send().await.expect(200)["status"], "failed");
    assert_eq!(t.delete(&path).send().await.refusal(), (409, "conflict"));
}

#[tokio::test]
async fn output_streams_until_it_ends() {
    let t = TestPaddock::start().await;
    t.app("output").await;
    let source = uploaded(&t, b"archive").await;
    let order = json!({ "source_blob": { "url": source["get_url"] } });
    let made = t.post("/apps/output/builds").json(order).send().await.expect(201).clone();
    let stream = path(&made["output_stream_url"]);
    let id: Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let mut writer = t.outputs.writer(id).unwrap();
    writer.append("-----> one\n").await.unwrap();
    let reading = t.get(&stream).anonymous().send();
    let writing = async {
        writer.append("-----> two\n").await.unwrap();
        writer.finish().await.unwrap();
    };
    let (read, ()) = tokio::join!(reading, writing);
    assert_eq!((read.status.as_u16(), &read.bytes[..]), (200, &b"-----> one\n-----> two\n"[..]));
    assert_eq!(t.get("/streams/builds/nonsense").anonymous().send().await.refusal(), (404, "not_found"));
    let swapped = stream.replace("builds", "releases");
    assert_eq!(t.get(&swapped).anonymous().send().await.refusal(), (404, "not_found"), "one purpose each");
    t.clock.advance(Duration::from_secs(3 * 24 * 60 * 60));
    assert_eq!(t.get(&stream).anonymous().send().await.refusal(), (404, "not_found"), "not for ever");
}
