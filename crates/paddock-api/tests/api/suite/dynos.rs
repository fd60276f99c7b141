//! Dynos, with the formation reconciler at work on a runtime in memory.

use serde_json::{Value, json};

use super::support::{Answer, TestPaddock};

async fn dynos(t: &TestPaddock, app: &str) -> Vec<(String, String)> {
    let list = t.get(&format!("/apps/{app}/dynos")).send().await;
    let one = |dyno: &Value| {
        (dyno["name"].as_str().unwrap().to_owned(), dyno["state"].as_str().unwrap().to_owned())
    };
    let mut dynos: Vec<_> = list.expect(200).as_array().unwrap().iter().map(one).collect();
    dynos.sort();
    dynos
}

async fn until_up(t: &TestPaddock, app: &str, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|name| ((*name).to_owned(), "up".to_owned())).collect();
    t.eventually(&format!("{expected:?} of {app}"), async || (dynos(t, app).await == expected).then_some(()))
        .await;
}

async fn id_of(t: &TestPaddock, app: &str, name: &str) -> Option<String> {
    let dyno = t.get(&format!("/apps/{app}/dynos/{name}")).send().await;
    dyno.body["id"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn scaling_brings_dynos_and_takes_the_highest_away() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("live", &[("web", "serve"), ("worker", "work")]).await;
    until_up(&t, "live", &["web.1"]).await;
    let scale = |quantity: u32| {
        let body = json!({ "updates": [{ "type": "web", "quantity": quantity }] });
        t.patch("/apps/live/formation").json(body).send()
    };
    scale(3).await.expect(200);
    until_up(&t, "live", &["web.1", "web.2", "web.3"]).await;
    scale(1).await.expect(200);
    until_up(&t, "live", &["web.1"]).await;
    let dyno = t.get("/apps/live/dynos/web.1").send().await;
    let dyno = dyno.expect(200);
    assert_eq!(
        (&dyno["type"], &dyno["command"], &dyno["release"]["version"]),
        (&json!("web"), &json!("serve"), &json!(3))
    );
}

#[tokio::test]
async fn a_first_word_that_is_a_process_type_stands_for_its_command() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("spelt", &[("web", "serve"), ("console", "bin/repl --app"), ("rake", "bundle exec rake")])
        .await;
    for (asked, run) in [
        ("console", "bin/repl --app"),
        ("  rake db:migrate  A=\"b  c\"", "bundle exec rake db:migrate  A=\"b  c\""),
        ("rake ; echo $?", "bundle exec rake ; echo $?"),
        ("rake\tdb", "bundle exec rake\tdb"),
        ("web.py", "web.py"),
        ("rakes", "rakes"),
        ("Rake x", "Rake x"),
        ("exec rake", "exec rake"),
        ("rake;true", "rake;true"),
    ] {
        let made =
            t.post("/apps/spelt/dynos").json(json!({ "command": asked, "attach": false })).send().await;
        assert_eq!(made.expect(201)["command"], run, "{asked}");
    }
}

#[tokio::test]
async fn restarting_replaces_dynos() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("again", &[("web", "serve")]).await;
    until_up(&t, "again", &["web.1"]).await;
    for path in ["/apps/again/dynos", "/apps/again/dynos/web.1", "/apps/again/formations/web"] {
        let before = id_of(&t, "again", "web.1").await;
        t.delete(path).send().await.expect(202);
        t.eventually("another web.1", async || {
            let after = id_of(&t, "again", "web.1").await;
            (after.is_some() && after != before).then_some(())
        })
        .await;
        until_up(&t, "again", &["web.1"]).await;
    }
    // Twice in a row: there may be no row of that name just now.
    for path in ["/apps/again/dynos", "/apps/again/dynos/web.1"] {
        t.delete(path).send().await.expect(202);
    }
    for path in ["/apps/again/dynos/web.7", "/apps/again/formations/nope"] {
        assert_eq!(t.delete(path).send().await.refusal(), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn a_one_off_dyno_gets_the_config_its_own_variables_and_a_name() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("once", &[("web", "serve")]).await;
    t.patch("/apps/once/config-vars").json(json!({ "A": "config", "B": "config" })).send().await.expect(200);
    let order = json!({ "command": "echo hello", "attach": false, "env": { "A": "mine", "COLUMNS": 80 } });
    let made = t.post("/apps/once/dynos").json(order).send().await;
    let made = made.expect(201);
    let name = made["name"].as_str().unwrap().to_owned();
    assert!(
        name.strip_prefix("run.").unwrap().parse::<u32>().is_ok_and(|n| (1000..10_000).contains(&n)),
        "{name}"
    );
    assert_eq!(made["attach_url"], Value::Null);
    let spec = t
        .eventually("the one-off's container", async || {
            t.runtime
                .specs()
                .into_iter()
                .find(|spec| spec.env.contains(&("DYNO".into(), name.clone().into())))
        })
        .await;
    let value = |key: &str| {
        spec.env
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(
        (value("A").as_deref(), value("B").as_deref(), value("COLUMNS").as_deref()),
        (Some("mine"), Some("config"), Some("80"))
    );
    assert_eq!(value("PORT"), None);
    assert_eq!(spec.command.last().unwrap(), "echo hello");
    t.post(&format!("/apps/once/dynos/{name}/actions/stop")).send().await.expect(202);
    t.eventually("the one-off to be gone", async || {
        (!dynos(&t, "once").await.iter().any(|(dyno, _)| *dyno == name)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_run_is_refused() {
    let t = TestPaddock::start().await;
    t.app("empty").await;
    let run = |app: &str, order: Value| t.post(&format!("/apps/{app}/dynos")).json(order).send();
    let refusal = |answer: &Answer| (answer.refusal().0, answer.refusal().1.to_owned());
    let empty = run("empty", json!({ "command": "ls" })).await;
    assert_eq!(empty.refusal(), (422, "invalid_params"));
    assert!(empty.body["message"].as_str().unwrap().contains("no build"), "{}", empty.body);
    t.deployed_app("strict", &[("web", "serve")]).await;
    for order in [
        json!({}),
        json!({ "command": "  " }),
        json!({ "command": "ls", "size": "gigantic" }),
        json!({ "command": "ls", "type": "a b" }),
        json!({ "command": "ls", "env": { "A=B": "x" } }),
        json!({ "command": "ls", "time_to_live": 0 }),
        json!({ "command": "ls", "time_to_live": 86_401 }),
    ] {
        assert_eq!(refusal(&run("strict", order.clone()).await), (422, "invalid_params".into()), "{order}");
    }
    let inside = t.post("/apps/strict/dynos/web.1").json(json!({ "command": "ls" })).send().await;
    assert_eq!(inside.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn another_size_means_other_dynos() {
    let t = TestPaddock::start_alive().await;
    t.deployed_app("sized", &[("web", "serve")]).await;
    until_up(&t, "sized", &["web.1"]).await;
    let before = id_of(&t, "sized", "web.1").await;
    let body = json!({ "updates": [{ "type": "web", "size": "standard-2x" }] });
    t.patch("/apps/sized/formation").json(body.clone()).send().await.expect(200);
    t.eventually("a larger web.1", async || {
        let dyno = t.get("/apps/sized/dynos/web.1").send().await.body;
        (dyno["size"] == "Standard-2X" && dyno["state"] == "up").then_some(())
    })
    .await;
    let after = id_of(&t, "sized", "web.1").await;
    assert_ne!(before, after);
    t.patch("/apps/sized/formation").json(body).send().await.expect(200);
    until_up(&t, "sized", &["web.1"]).await;
    assert_eq!(id_of(&t, "sized", "web.1").await, after, "the same size changes nothing");
}

async fn scale(t: &TestPaddock, app: &str, quantity: u32) {
    let body = json!({ "updates": [{ "type": "web", "quantity": quantity }] });
    t.patch(&format!("/apps/{app}/formation")).json(body).send().await.expect(200);
}

#[tokio::test]
async fn a_start_that_hangs_delays_no_other_app_and_is_begun_once() {
    let t = TestPaddock::start_alive().await;
    t.runtime.hold_starts("hang");
    t.deployed_app("stuck", &[("web", "hang")]).await;
    scale(&t, "stuck", 5).await;
    let held = async || (t.runtime.held_starts().len() == 2).then_some(());
    t.eventually("as many starts as an app may have at a time", held).await;
    t.deployed_app("other", &[("web", "serve")]).await;
    until_up(&t, "other", &["web.1"]).await;
    scale(&t, "other", 4).await;
    until_up(&t, "other", &["web.1", "web.2", "web.3", "web.4"]).await;
    scale(&t, "other", 1).await;
    until_up(&t, "other", &["web.1"]).await;
    // All those passes saw the two half started, and left them alone.
    let mut asked = t.runtime.held_starts();
    asked.dedup();
    assert_eq!(asked.len(), 2);
    assert!(dynos(&t, "stuck").await.iter().all(|(_, state)| state == "starting"));
    t.runtime.release_starts();
    until_up(&t, "stuck", &["web.1", "web.2", "web.3", "web.4", "web.5"]).await;
    assert_eq!(t.runtime.held_starts(), asked, "none is started a second time");
}

#[tokio::test]
async fn what_is_not_wanted_any_more_once_it_has_started_ends() {
    let t = TestPaddock::start_alive().await;
    t.runtime.hold_starts("hang");
    for app in ["shrunk", "destroyed"] {
        t.deployed_app(app, &[("web", "hang")]).await;
    }
    let held = async || (t.runtime.held_starts().len() == 2).then_some(());
    t.eventually("both hang", held).await;
    scale(&t, "shrunk", 0).await;
    t.delete("/apps/destroyed").send().await.expect(200);
    t.runtime.release_starts();
    t.eventually("no container", async || t.runtime.specs().is_empty().then_some(())).await;
    t.eventually("no dyno", async || dynos(&t, "shrunk").await.is_empty().then_some(())).await;
}
