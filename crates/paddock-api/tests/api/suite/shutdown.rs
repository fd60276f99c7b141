//! The end of the server, and connections that are not the router's.

use http_body_util::BodyExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{PATIENCE, TestPaddock};

#[tokio::test]
async fn tails_do_not_hold_up_the_end_and_outputs_are_broken_off() {
    let mut t = TestPaddock::start().await;
    t.app("ending").await;
    let session = t.post("/apps/ending/log-sessions").json(json!({ "tail": true })).send().await;
    let tail = session.expect(201)["logplex_url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://localhost:5000")
        .unwrap()
        .to_owned();
    let tail = t.get(&tail).anonymous().open().await.into_body();
    let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let put = source["put_url"].as_str().unwrap().strip_prefix("http://localhost:5000").unwrap().to_owned();
    t.put(&put).anonymous().body("x").send().await;
    let order = json!({ "source_blob": { "url": source["get_url"] } });
    let build = t.post("/apps/ending/builds").json(order).send().await.expect(201).clone();
    let output = build["output_stream_url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://localhost:5000")
        .unwrap()
        .to_owned();
    let output = t.get(&output).anonymous().open().await.into_body();

    let ended = tokio::time::timeout(PATIENCE, t.stop()).await;
    assert!(ended.is_ok(), "the server waited for streams that have no end");
    assert!(tail.collect().await.is_ok(), "a tail ends, and its client comes back");
    assert!(output.collect().await.is_err(), "an output that is not whole does not look whole");
}

#[tokio::test]
async fn a_request_in_flight_is_finished() {
    let mut t = TestPaddock::start().await;
    let body = "{\"name\": \"flight\"}";
    let request = format!(
        "POST /apps HTTP/1.1\r\nhost: x\r\naccept: application/vnd.heroku+json; version=3\r\n\
         authorization: Bearer {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        t.token,
        body.len()
    );
    let mut client = t.connection().await;
    client.write_all(request.as_bytes()).await.unwrap();
    // Asked for when the handler wants the body: from here on the request is in flight.
    let mut go_on = [0; 25];
    client.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let finish = async {
        client.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (answer, ended) = tokio::join!(finish, tokio::time::timeout(PATIENCE, t.stop()));
    assert!(ended.is_ok() && answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn what_does_not_begin_as_the_routers_is_cut() {
    let t = TestPaddock::start().await;
    let mut client = t.bare_connection().await;
    client.write_all(b"GET /account HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await;
    // Reset or ended, but not a word.
    assert!(read.is_ok() && answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
}
