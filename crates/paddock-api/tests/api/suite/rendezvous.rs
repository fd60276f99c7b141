//! Run sessions over the raw rendezvous socket.

use paddock_runtime::RuntimeError;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::support::{PATIENCE, TestPaddock};

async fn read_some(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await;
    let length = read.expect("something comes in time").unwrap();
    bytes.truncate(length);
    bytes
}

#[tokio::test]
async fn a_client_is_greeted_alone_and_then_talks_to_its_dyno() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("console", &[("web", "serve")]).await;
    let order =
        json!({ "command": "bash", "attach": true, "env": { "TERM": "xterm", "COLUMNS": 100, "LINES": 40 } });
    let made = t.post("/apps/console/dynos").json(order).send().await;
    let url = made.expect(201)["attach_url"].as_str().unwrap().to_owned();
    let secret = url.strip_prefix("rendezvous://localhost:5000/").expect("an explicit port").to_owned();

    let mut client = t.rendezvous().await;
    client.write_all(format!("{secret}\r\n").as_bytes()).await.unwrap();
    assert_eq!(
        read_some(&mut client).await,
        b"rendezvous\r\n",
        "the first piece is thrown away by the client"
    );
    let spec =
        t.runtime.specs().into_iter().find(|spec| spec.command.last().is_some_and(|c| c == "bash")).unwrap();
    assert_eq!(spec.stdio, paddock_runtime::Stdio::Terminal { rows: 40, columns: 100 });
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read_some(&mut client).await, b"hello", "the runtime in memory echoes");

    t.runtime
        .exit(spec.id, paddock_runtime::Exit { status: 7, out_of_memory: false, killed_after_grace: false });
    assert_eq!(read_some(&mut client).await, b"", "the session ends with its program");
    t.eventually("the dyno to be gone", async || {
        let gone =
            t.get(&format!("/apps/console/dynos/{}", made.body["name"].as_str().unwrap())).send().await;
        (gone.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pipe_takes_what_comes_until_its_end() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("piped", &[("web", "serve")]).await;
    let order = json!({ "command": "cat", "attach": true, "force_no_tty": true });
    let made = t.post("/apps/piped/dynos").json(order).send().await;
    let secret = made.expect(201)["attach_url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut client = t.rendezvous().await;
    client.write_all(format!("{secret}?x=1\r\n").as_bytes()).await.unwrap();
    assert_eq!(read_some(&mut client).await, b"rendezvous\r\n");
    let spec =
        t.runtime.specs().into_iter().find(|spec| spec.command.last().is_some_and(|c| c == "cat")).unwrap();
    assert_eq!(spec.stdio, paddock_runtime::Stdio::Pipe);
    client.write_all(b"line\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_some(&mut client).await, b"line\n");
    assert_eq!(read_some(&mut client).await, b"");
}

#[tokio::test]
async fn a_wrong_secret_is_told_so() {
    let t = TestPaddock::start().await;
    let mut client = t.rendezvous().await;
    client.write_all(b"nonsense\r\n").await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, client.read_to_end(&mut all)).await.unwrap().unwrap();
    let text = String::from_utf8(all).unwrap();
    assert!(text.starts_with("rendezvous\r\n") && text.contains("Couldn't find that dyno"), "{text}");
}

#[tokio::test]
async fn an_attached_dyno_waits_for_its_client_and_gives_up_after_a_minute() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("lonely", &[("web", "serve")]).await;
    let order = json!({ "command": "quick", "attach": true });
    let made = t.post("/apps/lonely/dynos").json(order).send().await;
    let name = made.expect(201)["name"].as_str().unwrap().to_owned();
    // Web dynos come up meanwhile: passes were made, and the one-off was left alone.
    t.eventually("web.1", async || {
        (t.get("/apps/lonely/dynos/web.1").send().await.body["state"] == "up").then_some(())
    })
    .await;
    assert!(!t.runtime.specs().iter().any(|spec| spec.command.last().is_some_and(|c| c == "quick")));
    t.clock.advance(std::time::Duration::from_secs(61));
    t.control.kernel.wakes.dynos.wake();
    t.eventually("the dyno to be given up", async || {
        (t.get(&format!("/apps/lonely/dynos/{name}")).send().await.status == 404).then_some(())
    })
    .await;
    let session = t.post("/apps/lonely/log-sessions").json(json!({ "lines": 100 })).send().await;
    let path = session.expect(201)["logplex_url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://localhost:5000")
        .unwrap()
        .to_owned();
    let log = String::from_utf8(t.get(&path).anonymous().send().await.bytes.to_vec()).unwrap();
    assert!(log.contains(&format!("heroku[{name}]: Error R13 (Attach error)")), "{log}");
}

#[tokio::test]
async fn a_client_whose_dyno_does_not_start_hears_of_it_at_once() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("broken", &[("worker", "work")]).await;
    let program = RuntimeError::Program { program: "/init".into(), reason: "on purpose".into() };
    t.runtime.fail_next_start(program);
    let made = t.post("/apps/broken/dynos").json(json!({ "command": "bash", "attach": true })).send().await;
    let secret = made.expect(201)["attach_url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut client = t.rendezvous().await;
    client.write_all(format!("{secret}\r\n").as_bytes()).await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, client.read_to_end(&mut all)).await.expect("an answer in time").unwrap();
    let text = String::from_utf8(all).unwrap();
    assert!(text.contains("could not be started") && text.contains("heroku logs"), "{text}");
    t.eventually("the dyno to be forgotten", async || {
        let dynos = t.get("/apps/broken/dynos").send().await;
        dynos.expect(200).as_array().unwrap().is_empty().then_some(())
    })
    .await;
}
