//! Log sessions and their streams.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use paddock_core::AppId;
use serde_json::json;

use super::support::{PATIENCE, STRANGER, TestPaddock};

const EVENTS: &str = "text/event-stream";

async fn session(t: &TestPaddock, app: &str, order: serde_json::Value) -> String {
    let made = t.post(&format!("/apps/{app}/log-sessions")).json(order).send().await;
    let url = made.expect(201)["logplex_url"].as_str().unwrap().to_owned();
    url.strip_prefix("http://localhost:5000").unwrap().to_owned()
}

async fn read_all(t: &TestPaddock, path: &str) -> String {
    let answer = t.get(path).anonymous().header("accept", EVENTS).send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/event-stream"));
    String::from_utf8(answer.bytes.to_vec()).unwrap()
}

/// The texts of the events, without what stands before the first `: `.
fn texts(events: &str) -> Vec<String> {
    let data = events.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|line| line.split_once(": ")).map(|(_, text)| text.to_owned()).collect()
}

async fn say(t: &TestPaddock, app: &str, text: &str) {
    let app: AppId =
        t.get(&format!("/apps/{app}")).send().await.body["id"].as_str().unwrap().parse().unwrap();
    t.control.kernel.log_api(app, text).await;
}

/// Reads events until `wanted` of them came.
async fn read_events(body: &mut Incoming, wanted: usize) -> String {
    let mut text = String::new();
    while text.matches("\n\n").count() < wanted {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("an event in time");
        text.push_str(std::str::from_utf8(&frame.unwrap().unwrap().into_data().unwrap()).unwrap());
    }
    text
}

#[tokio::test]
async fn a_session_shows_the_last_lines_and_ends() {
    let t = TestPaddock::start().await;
    t.app("spoken").await;
    for number in 0..5 {
        say(&t, "spoken", &format!("line {number}")).await;
    }
    let events = read_all(&t, &session(&t, "spoken", json!({ "lines": 2 })).await).await;
    assert_eq!(texts(&events), ["line 3", "line 4"]);
    assert!(events.contains(" app[api]: line 4\n\n"), "{events}");
    let ids: Vec<u64> =
        events.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids[1], ids[0] + 1);
}

#[tokio::test]
async fn who_does_not_ask_for_events_reads_plain_lines() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    say(&t, "plain", "one").await;
    say(&t, "plain", "two\nheroku[router]: forged").await;
    for accept in ["*/*", "text/plain", super::support::VERSION_3] {
        let path = session(&t, "plain", json!({ "lines": 2 })).await;
        let answer = t.get(&path).anonymous().header("accept", accept).send().await;
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{accept}");
        let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].ends_with("+00:00 app[api]: one") && lines[1].ends_with(" app[api]: two"), "{text}");
        assert_eq!(lines[2], " heroku[router]: forged", "what follows a line break is no line of its own");
    }
    let path = session(&t, "plain", json!({ "lines": 1, "tail": true })).await;
    let mut body = t.get(&path).anonymous().without_header("accept").open().await.into_body();
    say(&t, "plain", "three").await;
    let mut text = String::new();
    while !text.ends_with("app[api]: three\n") {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("a line in time");
        text.push_str(std::str::from_utf8(&frame.unwrap().unwrap().into_data().unwrap()).unwrap());
    }
    assert_eq!(text.lines().count(), 3, "{text}");
    let asked = "text/html;q=0.5, Text/Event-Stream;q=1";
    let events =
        t.get(&session(&t, "plain", json!({})).await).anonymous().header("accept", asked).send().await;
    assert!(events.header("content-type").unwrap().starts_with("text/event-stream"));
}

/// A client of events waits before it comes back, and ends only then.
#[tokio::test]
async fn a_session_that_does_not_tail_sends_its_reader_off_at_once() {
    let t = TestPaddock::start().await;
    t.app("short").await;
    let path = session(&t, "short", json!({})).await;
    let events = read_all(&t, &path).await;
    assert!(events.starts_with("retry: 10\n\nid: "), "{events}");
    let again = t.get(&path).anonymous().header("accept", EVENTS).header("last-event-id", "4").send().await;
    assert_eq!(again.status, 204, "a client of events comes back once, and is told to stay away");
    let path = session(&t, "short", json!({ "tail": true })).await;
    let mut body = t.get(&path).anonymous().header("accept", EVENTS).open().await.into_body();
    assert!(!read_events(&mut body, 1).await.contains("retry:"), "a tail comes back when it likes");
}

#[tokio::test]
async fn sources_and_processes_are_filtered() {
    let t = TestPaddock::start().await;
    t.app("filtered").await;
    let all = texts(&read_all(&t, &session(&t, "filtered", json!({})).await).await).len();
    assert_eq!(all, 4, "what making an app says");
    for (order, count) in [
        (json!({ "source": "app" }), 4),
        (json!({ "source": "heroku" }), 0),
        (json!({ "source": "router" }), 0),
        (json!({ "source": "api" }), 4),
        (json!({ "dyno": "api" }), 4),
        (json!({ "dyno": "web.1" }), 0),
        (json!({ "type": "web" }), 0),
    ] {
        let events = read_all(&t, &session(&t, "filtered", order.clone()).await).await;
        assert_eq!(texts(&events).len(), count, "{order}");
    }
}

#[tokio::test]
async fn a_tail_goes_on_and_resumes_after_the_last_event() {
    let t = TestPaddock::start().await;
    t.app("tailed").await;
    say(&t, "tailed", "before").await;
    let path = session(&t, "tailed", json!({ "lines": 1, "tail": true })).await;
    let mut body = t.get(&path).anonymous().header("accept", EVENTS).open().await.into_body();
    let first = read_events(&mut body, 1).await;
    assert_eq!(texts(&first), ["before"]);
    say(&t, "tailed", "while").await;
    let second = read_events(&mut body, 1).await;
    assert_eq!(texts(&second), ["while"]);
    drop(body);
    say(&t, "tailed", "missed").await;
    let last = second.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    let mut body = t
        .get(&path)
        .anonymous()
        .header("accept", EVENTS)
        .header("last-event-id", &last)
        .open()
        .await
        .into_body();
    say(&t, "tailed", "after").await;
    assert_eq!(texts(&read_events(&mut body, 2).await), ["missed", "after"], "no gap, no repeat");
}

#[tokio::test]
async fn who_is_no_collaborator_any_more_reads_no_further() {
    let t = TestPaddock::start().await;
    t.app("left").await;
    t.post("/apps/left/collaborators").json(json!({ "user": STRANGER })).send().await.expect(201);
    let order = json!({ "lines": 0, "tail": true });
    let made = t.post("/apps/left/log-sessions").stranger().json(order).send().await;
    let url = made.expect(201)["logplex_url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("http://localhost:5000").unwrap();
    let mut body = t.get(path).anonymous().header("accept", EVENTS).open().await.into_body();
    say(&t, "left", "seen").await;
    assert_eq!(texts(&read_events(&mut body, 1).await), ["seen"]);
    t.delete(&format!("/apps/left/collaborators/{STRANGER}")).send().await.expect(200);
    let ended = async {
        loop {
            say(&t, "left", "not for everybody").await;
            match tokio::time::timeout(Duration::from_millis(100), body.frame()).await {
                Ok(None) => return,
                Ok(Some(frame)) => drop(frame.unwrap()),
                Err(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the tail ends");
    assert_eq!(t.get(path).anonymous().send().await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn who_is_logged_out_reads_no_further_and_others_do() {
    let t = TestPaddock::start().await;
    t.app("shared").await;
    t.post("/apps/shared/collaborators").json(json!({ "user": STRANGER })).send().await.expect(201);
    let order = json!({ "lines": 0, "tail": true });
    let owners = session(&t, "shared", order.clone()).await;
    let made = t.post("/apps/shared/log-sessions").stranger().json(order).send().await;
    let url = made.expect(201)["logplex_url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("http://localhost:5000").unwrap();
    let mut theirs = t.get(path).anonymous().open().await.into_body();
    let mut others = t.get(&owners).anonymous().header("accept", EVENTS).open().await.into_body();
    t.control.people.log_out_account(STRANGER).await.unwrap();
    let ended = async {
        loop {
            say(&t, "shared", "not for everybody").await;
            match tokio::time::timeout(Duration::from_millis(100), theirs.frame()).await {
                Ok(None) => return,
                Ok(Some(frame)) => drop(frame.unwrap()),
                Err(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the tail ends");
    assert_eq!(t.get(path).anonymous().send().await.refusal(), (404, "not_found"));
    assert_eq!(texts(&read_events(&mut others, 1).await), ["not for everybody"]);
}

#[tokio::test]
async fn an_app_cannot_forge_lines_or_events() {
    let t = TestPaddock::start().await;
    t.app("forger").await;
    say(&t, "forger", "one\r\nid: 999\n\ndata: heroku[router]: forged\revent: x").await;
    let events = read_all(&t, &session(&t, "forger", json!({ "lines": 1 })).await).await;
    assert_eq!(events.trim_start_matches("retry: 10\n\n").matches("\n\n").count(), 1, "{events:?}");
    assert!(!events.lines().any(|line| line.starts_with("event:") || line == "id: 999"), "{events:?}");
    assert!(!events.lines().any(|line| line.starts_with("data: heroku")), "{events:?}");
}

#[tokio::test]
async fn a_secret_opens_its_session_for_a_day_and_nothing_else() {
    let t = TestPaddock::start().await;
    t.app("secret").await;
    let path = session(&t, "secret", json!({})).await;
    assert_eq!(t.get("/streams/logs/nonsense").anonymous().send().await.refusal(), (404, "not_found"));
    let secret = path.rsplit('/').next().unwrap();
    assert_eq!(
        t.get(&format!("/streams/builds/{secret}")).anonymous().send().await.refusal(),
        (404, "not_found")
    );
    t.clock.advance(Duration::from_secs(25 * 60 * 60));
    assert_eq!(t.get(&path).anonymous().send().await.refusal(), (404, "not_found"));
}
