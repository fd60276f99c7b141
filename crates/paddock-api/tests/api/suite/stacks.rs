//! Stacks: those of the server, and the names that people's files carry.

use std::time::Duration;

use paddock_core::LayerDigest;
use paddock_core::stack::Stack;
use paddock_store::NewVersion;
use serde_json::{Value, json};

use super::support::TestPaddock;

impl TestPaddock {
    /// Adds a stack, as the operator's command would in the end.
    async fn add_stack(&self, name: &str) {
        let layers = vec![LayerDigest::of_sha256([7; 32])];
        let new = NewVersion {
            name: Stack::from_name(name).unwrap(),
            version: "0a1b2c".to_owned(),
            system: "Debian".to_owned(),
            run_layers: layers.clone(),
            build_layers: layers,
            size_bytes: 1,
        };
        let mut tx = self.store.begin_platform(self.control.now(), "test").await.unwrap();
        tx.put_version(&new, false).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn set_stack(&self, app: &str, stack: &str) -> Value {
        let set = self.patch(&format!("/apps/{app}")).json(json!({ "build_stack": stack })).send().await;
        set.expect(200).clone()
    }

    async fn log_of(&self, app: &str) -> String {
        let session =
            self.post(&format!("/apps/{app}/log-sessions")).json(json!({ "lines": 50 })).send().await;
        let url = session.expect(201)["logplex_url"].as_str().unwrap();
        let path = url.strip_prefix("http://localhost:5000").unwrap().to_owned();
        String::from_utf8(self.get(&path).anonymous().send().await.bytes.to_vec()).unwrap()
    }
}

fn stacks(app: &Value) -> (&str, &str) {
    (app["stack"]["name"].as_str().unwrap(), app["build_stack"]["name"].as_str().unwrap())
}

#[tokio::test]
async fn a_name_of_herokus_that_is_not_here_is_the_host_and_the_log_says_so() {
    let t = TestPaddock::start().await;
    // As heroku3 (PyPI) sends it.
    let made =
        t.post("/apps").json(json!({ "name": "legacy", "region": "us", "stack": "cedar" })).send().await;
    assert_eq!(stacks(made.expect(201)), ("host", "host"));
    for name in ["cedar-14", "heroku-16", "heroku-18", "heroku-20", "heroku-22", "heroku-24", "heroku-26"] {
        assert_eq!(stacks(&t.set_stack("legacy", name).await), ("host", "host"), "{name}");
    }
    let order = json!({ "process_types": { "web": "x" }, "stack": "heroku-24" });
    let slug = t.post("/apps/legacy/slugs").json(order).send().await;
    assert_eq!(slug.expect(201)["stack"]["name"], "host");
    let log = t.log_of("legacy").await;
    for name in ["cedar", "heroku-26"] {
        let line = format!("app[api]: Stack {name} is not on this server: builds run on host\n");
        assert!(log.contains(&line), "{log}");
    }
    assert_eq!(
        log.matches("Stack heroku-24 is not").count(),
        2,
        "once for the app, once for the slug: {log}"
    );
}

#[tokio::test]
async fn a_name_of_herokus_is_the_servers_own_stack_where_it_has_one() {
    let t = TestPaddock::start().await;
    t.add_stack("heroku-24").await;
    let made = t.post("/apps").json(json!({ "name": "modern", "stack": "heroku-24" })).send().await;
    assert_eq!(stacks(made.expect(201)), ("heroku-24", "heroku-24"));
    assert!(!t.log_of("modern").await.contains("is not on this server"));
    let all = t.get("/stacks").send().await;
    let names: Vec<_> = all.expect(200).as_array().unwrap().iter().map(|stack| &stack["name"]).collect();
    assert_eq!(names, ["container", "heroku-24", "host"]);
    let by_id = t.get(&format!("/stacks/{}", made.body["stack"]["id"].as_str().unwrap())).send().await;
    assert_eq!((&by_id.expect(200)["name"], &by_id.body["state"]), (&json!("heroku-24"), &json!("public")));
    assert_eq!((&by_id.body["default"], &all.body[2]["default"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn what_no_stack_is_called_is_refused_with_those_that_there_are() {
    let t = TestPaddock::start().await;
    t.add_stack("bookworm").await;
    t.app("picky").await;
    for (name, why) in [
        ("heroku-10", "is not available on this server."),
        ("Host", "is not available on this server."),
        ("cnb", "is not built: this server has no Cloud Native Buildpacks."),
    ] {
        let sentence = format!("Stack {name} {why} Available: host, container, bookworm.");
        for answer in [
            t.post("/apps").json(json!({ "stack": name })).send().await,
            t.patch("/apps/picky").json(json!({ "build_stack": name, "maintenance": true })).send().await,
            t.post("/apps/picky/slugs")
                .json(json!({ "process_types": { "web": "x" }, "stack": name }))
                .send()
                .await,
        ] {
            assert_eq!(answer.refusal(), (422, "invalid_params"));
            assert_eq!(answer.body["message"], sentence);
        }
    }
    let app = t.get("/apps/picky").send().await;
    assert_eq!((stacks(app.expect(200)), &app.body["maintenance"]), (("host", "host"), &json!(false)));
    let slug = json!({ "process_types": { "web": "x" }, "stack": "container" });
    let slug = t.post("/apps/picky/slugs").json(slug).send().await;
    assert_eq!(slug.refusal(), (422, "invalid_params"));
}

#[tokio::test]
async fn the_next_build_moves_an_app_that_was_deployed_and_one_that_was_not_moves_at_once() {
    let t = TestPaddock::start().await;
    t.add_stack("bookworm").await;
    t.app("fresh").await;
    assert_eq!(stacks(&t.set_stack("fresh", "bookworm").await), ("bookworm", "bookworm"));
    t.deployed_app("deployed", &[("web", "serve")]).await;
    assert_eq!(stacks(&t.set_stack("deployed", "bookworm").await), ("host", "bookworm"));
    assert_eq!(stacks(&t.set_stack("deployed", "bookworm").await), ("host", "bookworm"), "again");
    // A release of a slug that was laid upon it is what a build comes to.
    let order = json!({ "process_types": { "web": "serve" }, "stack": "bookworm" });
    let slug = t.post("/apps/deployed/slugs").json(order).send().await;
    assert_eq!(slug.expect(201)["stack"]["name"], "bookworm");
    let id = slug.body["id"].as_str().unwrap().parse().unwrap();
    let row = t.store.slug(id).await.unwrap().unwrap();
    assert_eq!(row.stack_version, "0a1b2c");
    let mut tx = t.store.begin_for_app(row.app_id.unwrap(), t.control.now(), "test").await.unwrap();
    let layer = LayerDigest::of_sha256([9; 32]).to_string();
    assert!(tx.set_slug_uploaded(id, &layer, 1, "SHA256:00").await.unwrap());
    tx.commit().await.unwrap();
    t.post("/apps/deployed/releases").json(json!({ "slug": id.to_string() })).send().await.expect(201);
    assert_eq!(stacks(t.get("/apps/deployed").send().await.expect(200)), ("bookworm", "bookworm"));
    // The release before it was on host; what is to be built next stays as it was chosen.
    t.post("/apps/deployed/releases").json(json!({ "release": "v3" })).send().await.expect(201);
    assert_eq!(stacks(t.get("/apps/deployed").send().await.expect(200)), ("host", "bookworm"));
}

#[tokio::test]
async fn past_its_end_nothing_is_built_on_a_stack() {
    let t = TestPaddock::start().await;
    t.add_stack("bullseye").await;
    t.app("old").await;
    t.app("other").await;
    t.set_stack("old", "bullseye").await;
    let end = t.control.now() + Duration::from_secs(60);
    t.control.deploy.deprecate_stack("bullseye", Some(end)).await.unwrap();
    assert_eq!(t.get("/stacks/bullseye").send().await.expect(200)["state"], "deprecated");
    assert_eq!(
        stacks(&t.set_stack("other", "bullseye").await),
        ("bullseye", "bullseye"),
        "until then it can be"
    );
    t.set_stack("other", "host").await;
    t.clock.advance(Duration::from_secs(61));
    let refused = t.patch("/apps/other").json(json!({ "build_stack": "bullseye" })).send().await;
    assert_eq!(refused.refusal(), (422, "invalid_params"));
    let message = refused.body["message"].as_str().unwrap();
    assert!(message.starts_with("Support of the stack bullseye ended on 20"), "{message}");
    assert!(message.ends_with("Available: host, container."), "{message}");
    assert_eq!(
        stacks(&t.set_stack("old", "bullseye").await),
        ("bullseye", "bullseye"),
        "what it has it keeps"
    );
    let build = json!({ "source_blob": { "url": "https://example.com/x.tgz" } });
    let build = t.post("/apps/old/builds").json(build).send().await;
    assert_eq!(build.refusal(), (422, "invalid_params"));
    let message = build.body["message"].as_str().unwrap();
    assert!(
        message.contains("nothing is built on it any more. Choose another with: heroku stack:set"),
        "{message}"
    );
    assert_eq!(t.get("/apps/old/builds").send().await.expect(200), &json!([]));
    t.control.deploy.deprecate_stack("bullseye", None).await.unwrap();
    let build = json!({ "source_blob": { "url": "https://example.com/x.tgz" } });
    let build = t.post("/apps/old/builds").json(build).send().await;
    assert_eq!(build.expect(201)["stack"], "bullseye");
}
