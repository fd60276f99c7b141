//! Releases of images: what the client's container commands ask for.

use std::time::Duration;

use paddock_core::image::ImageConfig;
use paddock_core::{AppId, BlobDigest, LayerDigest, UnixMicros};
use paddock_runtime::{Exit, Layer};
use serde_json::{Value, json};

use super::support::TestPaddock;

const NOW: UnixMicros = UnixMicros(1);

fn id_of(byte: u8) -> BlobDigest {
    BlobDigest::of_sha256([byte; 32])
}

fn config(words: &[&str]) -> ImageConfig {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    ImageConfig {
        entrypoint: owned(&["tini", "--"]),
        command: owned(words),
        env: [("FROM_IMAGE", "yes"), ("A", "image")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        working_dir: "/srv".to_owned(),
        user: "root".to_owned(),
        exposed_ports: vec![5000],
        ..ImageConfig::default()
    }
}

async fn pushed(t: &TestPaddock, app: &str, byte: u8, words: &[&str]) -> String {
    pushed_as(t, app, byte, config(words)).await
}

async fn pushed_as(t: &TestPaddock, app: &str, byte: u8, config: ImageConfig) -> String {
    let (app, id) = (app_id(t, app).await, id_of(byte));
    let mut tx = t.store.begin_for_app(app, NOW, "test").await.unwrap();
    tx.await_image(app, &id, &config).await.unwrap();
    let layers = [LayerDigest::of_sha256([byte; 32]), LayerDigest::of_sha256([0; 32])];
    tx.set_image_ready(app, &id, &config, &layers, 2).await.unwrap();
    tx.commit().await.unwrap();
    id.to_string()
}

async fn app_id(t: &TestPaddock, app: &str) -> AppId {
    t.get(&format!("/apps/{app}")).send().await.expect(200)["id"].as_str().unwrap().parse().unwrap()
}

async fn release(t: &TestPaddock, app: &str, updates: Value) -> Value {
    t.patch(&format!("/apps/{app}/formation")).json(json!({ "updates": updates })).send().await.body
}

#[tokio::test]
async fn images_are_released_by_process_type() {
    let t = TestPaddock::start_alive().await;
    t.app("boxes").await;
    let (web, worker) =
        (pushed(&t, "boxes", 1, &["serve", "a b"]).await, pushed(&t, "boxes", 2, &["work"]).await);
    let formation = release(&t, "boxes", json!([{ "type": "web", "docker_image": web }])).await;
    assert_eq!((&formation[0]["quantity"], formation.as_array().unwrap().len()), (&json!(1), 1));
    assert_eq!(formation[0]["command"], "tini -- serve 'a b'");
    let app = t.get("/apps/boxes").send().await.body;
    assert_eq!(
        (&app["stack"]["name"], &app["build_stack"]["name"]),
        (&json!("container"), &json!("container"))
    );
    let newest = t.get("/apps/boxes/releases/3").send().await.body;
    assert_eq!(newest["description"], "Deployed web (010101010101)");

    let formation = release(&t, "boxes", json!([{ "type": "worker", "docker_image": worker }])).await;
    assert_eq!((&formation[0]["type"], &formation[1]["quantity"]), (&json!("web"), &json!(0)));

    let removed = t.patch("/apps/boxes/formation/worker").json(json!({ "docker_image": null })).send().await;
    assert_eq!(removed.expect(200)["type"], "worker");
    let newest = t.get("/apps/boxes/releases/5").send().await.body;
    assert_eq!((&newest["description"], &newest["current"]), (&json!("Removed worker"), &json!(true)));
    assert_eq!(t.get("/apps/boxes/formation").send().await.body.as_array().unwrap().len(), 1);
    let again = t.patch("/apps/boxes/formation/worker").json(json!({ "docker_image": null })).send().await;
    assert_eq!(again.refusal(), (404, "not_found"));

    let last = t.patch("/apps/boxes/formation/web").json(json!({ "docker_image": null })).send().await;
    last.expect(200);
    let run = t.post("/apps/boxes/dynos").json(json!({ "command": "ls" })).send().await;
    assert_eq!(run.refusal(), (422, "invalid_params"));
    assert!(run.body["message"].as_str().unwrap().contains("there is nothing to run"), "{}", run.body);
}

#[tokio::test]
async fn a_dyno_of_an_image_runs_its_words_over_its_layers() {
    let t = TestPaddock::start_alive().await;
    t.app("spec").await;
    t.patch("/apps/spec/config-vars").json(json!({ "A": "config" })).send().await.expect(200);
    let web = pushed(&t, "spec", 1, &["serve", "$PORT"]).await;
    release(&t, "spec", json!([{ "type": "web", "docker_image": web }])).await;
    let spec = t.eventually("the web dyno", async || t.runtime.specs().first().cloned()).await;
    assert_eq!(spec.command, ["tini", "--", "serve", "$PORT"]);
    assert_eq!(spec.layers, [1, 0].map(|byte| Layer::Stored(LayerDigest::of_sha256([byte; 32]))));
    let runs_as = (spec.user.uid, spec.image_user.as_str());
    assert_eq!((spec.working_dir.as_str(), runs_as), ("/srv", (31_000, "root")));
    let value = |name: &str| spec.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert_eq!((value("FROM_IMAGE"), value("A")), (Some(b"yes".to_vec()), Some(b"config".to_vec())));
    assert!(value("PORT").is_some());
    assert_eq!(value("HOME"), None, "the image says it");

    let run = t.post("/apps/spec/dynos").json(json!({ "command": "ls -l $HOME" })).send().await;
    run.expect(201);
    let line =
        async || t.runtime.specs().into_iter().find(|spec| spec.command.contains(&"ls -l $HOME".to_owned()));
    let spec = t.eventually("the one-off dyno", line).await;
    assert_eq!(spec.command, ["tini", "--", "/bin/sh", "-c", "ls -l $HOME"]);
}

#[tokio::test]
async fn what_is_no_image_of_the_app_is_refused_and_changes_nothing() {
    let t = TestPaddock::start().await;
    t.app("bare").await;
    t.app("other").await;
    let foreign = pushed(&t, "other", 1, &["serve"]).await;
    let broken = id_of(9);
    let app = app_id(&t, "bare").await;
    let mut tx = t.store.begin_for_app(app, NOW, "test").await.unwrap();
    tx.await_image(app, &broken, &config(&[])).await.unwrap();
    tx.set_image_failed(app, &broken, "it is for arm64").await.unwrap();
    tx.commit().await.unwrap();
    let idle = pushed_as(&t, "bare", 8, ImageConfig::default()).await;
    for (kind, image, words) in [
        ("web", json!(foreign), "bare has no image sha256:0101"),
        ("web", json!("latest"), "is no image"),
        ("web", json!(broken.to_string()), "cannot be run: it is for arm64"),
        ("web", json!(idle), "No command specified for process type web: its image has neither CMD"),
        ("w e b", json!(foreign), "no process type"),
    ] {
        let updates = json!({ "updates": [{ "type": kind, "docker_image": image }] });
        let answer = t.patch("/apps/bare/formation").json(updates).send().await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{words}");
        assert!(answer.body["message"].as_str().unwrap().contains(words), "{}", answer.body);
    }
    assert_eq!(t.get("/apps/bare/releases").send().await.body.as_array().unwrap().len(), 2);
    assert_eq!(t.get("/apps/bare").send().await.body["build_stack"]["name"], "host");
}

#[tokio::test]
async fn an_image_is_released_and_scaled_or_neither() {
    let t = TestPaddock::start_alive().await;
    t.app("both").await;
    let web = pushed(&t, "both", 1, &["serve"]).await;
    let migrate = pushed(&t, "both", 2, &["migrate"]).await;
    for (change, status) in [
        (json!({ "quantity": 101 }), (422, "invalid_params")),
        (json!({ "size": "huge" }), (422, "invalid_params")),
        (json!({ "quantity": -1 }), (422, "invalid_params")),
    ] {
        let mut update = change.clone();
        update["docker_image"] = web.clone().into();
        let one = t.patch("/apps/both/formation/web").json(update.clone()).send().await;
        update["type"] = "web".into();
        let batch = t.patch("/apps/both/formation").json(json!({ "updates": [update] })).send().await;
        assert_eq!((one.refusal(), batch.refusal()), (status, status), "{change}");
    }
    assert_eq!(t.get("/apps/both/releases").send().await.body.as_array().unwrap().len(), 2);
    let update = json!({ "docker_image": web, "quantity": 2, "size": "standard-1x" });
    let made = t.patch("/apps/both/formation/web").json(update).send().await;
    assert_eq!(
        (&made.expect(200)["quantity"], &made.body["size"], &made.body["command"]),
        (&json!(2), &json!("Standard-1X"), &json!("tini -- serve"))
    );

    // What comes with a release phase is not there before that has ended.
    release(&t, "both", json!([{ "type": "release", "docker_image": migrate }])).await;
    let worker = json!({ "docker_image": migrate, "quantity": 1 });
    let refused = t.patch("/apps/both/formation/worker").json(worker).send().await;
    assert_eq!(refused.refusal(), (422, "invalid_params"));
    assert!(refused.body["message"].as_str().unwrap().contains("release phase"), "{}", refused.body);
    assert_eq!(t.get("/apps/both/releases").send().await.body.as_array().unwrap().len(), 4);
    let worker = t.patch("/apps/both/formation/worker").json(json!({ "docker_image": migrate })).send().await;
    assert_eq!(
        (&worker.expect(200)["type"], &worker.body["quantity"], &worker.body["command"]),
        (&json!("worker"), &json!(0), &json!("tini -- migrate"))
    );
    assert_eq!(t.get("/apps/both/releases/5").send().await.body["status"], "pending");
}

#[tokio::test]
async fn rolling_back_from_an_image_to_a_slug_and_back_moves_the_stack() {
    let t = TestPaddock::start().await;
    t.deployed_app("both", &[("web", "line")]).await;
    let web = pushed(&t, "both", 1, &["serve"]).await;
    release(&t, "both", json!([{ "type": "web", "docker_image": web }])).await;
    let seen = async || {
        let app = t.get("/apps/both").send().await.body;
        let formation = t.get("/apps/both/formation").send().await.body;
        (app["stack"]["name"].clone(), formation[0]["command"].clone())
    };
    assert_eq!(seen().await, (json!("container"), json!("tini -- serve")));
    t.post("/apps/both/releases").json(json!({ "release": "v3" })).send().await.expect(201);
    assert_eq!(seen().await, (json!("host"), json!("line")));
    t.post("/apps/both/releases").json(json!({ "release": "v4" })).send().await.expect(201);
    assert_eq!(seen().await, (json!("container"), json!("tini -- serve")));
}

/// `heroku releases:retry`.
#[tokio::test]
async fn the_images_of_a_release_are_released_again() {
    let t = TestPaddock::start().await;
    t.app("again").await;
    let web = pushed(&t, "again", 1, &["serve"]).await;
    release(&t, "again", json!([{ "type": "web", "docker_image": web }])).await;
    let slug = t.get("/apps/again/releases/3").send().await.body["slug"]["id"].clone();
    let retry = json!({ "slug": slug, "description": "Retry of v3: Deployed web" });
    let made = t.post("/apps/again/releases").json(retry).send().await;
    assert_eq!((&made.expect(201)["version"], &made.body["slug"]["id"]), (&json!(4), &slug));
    assert_eq!(t.get("/apps/again/formation").send().await.body[0]["command"], "tini -- serve");
}

#[tokio::test]
async fn an_image_of_the_release_phase_decides() {
    let t = TestPaddock::start_alive().await;
    t.app("phase").await;
    let web = pushed(&t, "phase", 1, &["serve"]).await;
    let migrate = pushed(&t, "phase", 2, &["migrate"]).await;
    let updates =
        json!([{ "type": "web", "docker_image": web }, { "type": "release", "docker_image": migrate }]);
    release(&t, "phase", updates).await;
    let made = t.get("/apps/phase/releases/3").send().await.body;
    assert_eq!(made["status"], "pending");
    let id = made["id"].as_str().unwrap();
    let phase = async || t.runtime.specs().into_iter().find(|spec| spec.id.to_string() == id);
    let spec = t.eventually("the release dyno", phase).await;
    assert_eq!(spec.command, ["tini", "--", "migrate"]);
    t.runtime.exit(spec.id, Exit { status: 0, out_of_memory: false, killed_after_grace: false });
    let ended = async || {
        let release = t.get("/apps/phase/releases/3").send().await.body;
        (release["status"] == "succeeded").then_some(())
    };
    t.eventually("the end of the release phase", ended).await;
}

/// An image of a web process that was pushed as the one for the release phase.
#[tokio::test]
async fn a_release_command_that_serves_is_told_and_fails_when_it_is_stopped() {
    let t = TestPaddock::start_alive().await;
    t.app("serves").await;
    let command = ["fake-end-on-term", "0"].map(str::to_owned).to_vec();
    let server = pushed_as(&t, "serves", 1, ImageConfig { command, ..ImageConfig::default() }).await;
    release(&t, "serves", json!([{ "type": "release", "docker_image": server }])).await;
    let id = t.get("/apps/serves/releases/3").send().await.body["id"].as_str().unwrap().to_owned();
    let up = async || {
        let dynos = t.get("/apps/serves/dynos").send().await.body;
        dynos.as_array().unwrap().iter().find(|dyno| dyno["state"] == "up").cloned()
    };
    t.eventually("the release dyno", up).await;
    let spec = t.runtime.specs().into_iter().find(|spec| spec.id.to_string() == id).unwrap();
    t.runtime.listen(spec.id, vec!["0.0.0.0:8000".parse().unwrap()]);
    let told = async || {
        t.clock.advance(Duration::from_secs(1));
        up().await.filter(|dyno| {
            dyno["command"].as_str().unwrap().contains("# listens on 0.0.0.0:8000, as servers do")
        })
    };
    let dyno = t.eventually("that it is a server", told).await;
    let stop = format!("/apps/serves/dynos/{}/actions/stop", dyno["name"].as_str().unwrap());
    t.post(&stop).send().await.expect(202);
    let ended = async || {
        let release = t.get("/apps/serves/releases/3").send().await.body;
        (release["status"] != "pending").then_some(release)
    };
    // It ended with status 0, as a server does that is told to.
    assert_eq!(t.eventually("the end of the release phase", ended).await["status"], "failed");
}
