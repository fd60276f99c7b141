//! Images that were pushed become images that can be run. A converter is played: it takes a blob for a plain tar.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use paddock_control::Clock;
use paddock_core::{BlobDigest, LayerDigest};
use paddock_runtime::fake::FakeRuntime;
use paddock_runtime::{ContainerSpec, Exit, LocalVolumes, MountSource, Network, Runtime, Stream};
use paddock_store::{BuildStep, ImageRow, ImageState};
use serde_json::json;

use super::registry::{INDEX, OCI, config_of, digest_of, manifest_of, named};
use super::support::TestPaddock;

/// What a converter makes of a blob, or complains about.
type Converter = fn(&[u8]) -> Result<String, String>;

fn plain(blob: &[u8]) -> Result<String, String> {
    Ok(digest_of(blob))
}

/// Plays the converters from now on; how many there were.
fn play(t: &TestPaddock, convert: Converter) -> Arc<AtomicUsize> {
    let (runtime, data, count) = (t.runtime.clone(), t.data().to_owned(), Arc::new(AtomicUsize::new(0)));
    let played = count.clone();
    tokio::spawn(async move {
        let mut done = Vec::new();
        loop {
            for spec in runtime.specs() {
                let is_converter = spec.command.get(1).is_some_and(|word| word == "convert");
                if is_converter && !done.contains(&spec.id) {
                    played.fetch_add(1, Ordering::SeqCst);
                    end(&runtime, &data, &spec, convert);
                    done.push(spec.id);
                }
            }
            done.retain(|id| runtime.spec(*id).is_some());
            runtime.changed().await;
        }
    });
    count
}

fn end(runtime: &FakeRuntime, data: &Path, spec: &ContainerSpec, convert: Converter) {
    assert_eq!(spec.network, Network::None);
    let blob = spec.mounts.iter().find_map(|mount| match &mount.source {
        MountSource::Share { path, .. } => Some(data.join("blobs").join(path)),
        _ => None,
    });
    let blob = std::fs::read(blob.unwrap()).unwrap();
    let volume = spec.mounts.iter().find_map(|mount| match &mount.source {
        MountSource::Volume { id, folder, .. } => Some(runtime.folder_of(*id).join(folder)),
        _ => None,
    });
    let status = match convert(&blob) {
        Ok(diff_id) => {
            let out = volume.unwrap();
            write_layer(&out.join("layer.erofs"), &blob);
            let tar = json!({ "diff_id": diff_id, "bytes": 1, "blob": digest_of(&blob), "blob_bytes": 1 });
            let warnings = serde_json::to_value(paddock_images::convert::Warnings::default()).unwrap();
            let report = json!({ "layer_bytes": 4096, "entries": 1, "warnings": warnings, "tar": tar });
            std::fs::write(out.join("report.json"), report.to_string()).unwrap();
            0
        }
        Err(why) => {
            runtime.print(spec.id, Stream::Stderr, &format!("layer: {why}"));
            1
        }
    };
    runtime.exit(spec.id, Exit { status, out_of_memory: false, killed_after_grace: false });
}

/// What the store of layers takes for one, of this content.
fn write_layer(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(path).unwrap();
    file.write_all_at(&[0xe2, 0xe1, 0xf5, 0xe0], 1024).unwrap();
    file.write_all_at(content, 2048).unwrap();
}

async fn image(t: &TestPaddock, app: &str, config: &[u8]) -> Option<ImageRow> {
    let app = t.store.app_by_name(app).await.unwrap().unwrap();
    let id: BlobDigest = digest_of(config).parse().unwrap();
    t.store.image(app.id, &id).await.unwrap()
}

async fn ended(t: &TestPaddock, app: &str, config: &[u8]) -> ImageRow {
    let is_over = async || image(t, app, config).await.filter(|row| row.state != ImageState::Pending);
    t.eventually("an image is ready or failed", is_over).await
}

/// Pushes an image by these bytes as they stand; the answer must be yes.
async fn push(t: &TestPaddock, repository: &str, config: &[u8], layers: &[&[u8]]) {
    for blob in layers.iter().copied().chain([config]) {
        t.push_blob(repository, blob).await;
    }
    let manifest = manifest_of(config, layers);
    t.put_manifest(&format!("{repository}/manifests/latest"), OCI, &manifest).await.expect(201);
}

#[tokio::test]
async fn a_pushed_image_is_converted_once_whoever_brings_its_layers() {
    let t = TestPaddock::start_alive().await;
    for app in ["boxed", "other"] {
        t.app(app).await;
    }
    let converted = play(&t, plain);
    let (low, high): (&[u8], &[u8]) = (b"low", b"high");
    let config = config_of("amd64", &[low, high, low]);
    push(&t, "boxed/web", &config, &[low, high, low]).await;
    let row = ended(&t, "boxed", &config).await;
    assert_eq!((row.state, row.failure), (ImageState::Ready, None));
    assert_eq!(row.config.command, ["serve"]);
    // The uppermost first, each where it is seen.
    assert_eq!(row.layers.len(), 2);
    assert_eq!(converted.load(Ordering::SeqCst), 2);
    let listed: Vec<LayerDigest> = layers_of(&t);
    assert!(row.layers.iter().all(|layer| listed.contains(layer)));

    let again = config_of("amd64", &[low]);
    push(&t, "other/worker", &again, &[low]).await;
    let other = ended(&t, "other", &again).await;
    assert_eq!((other.state, other.layers), (ImageState::Ready, vec![row.layers[0].clone()]));
    assert_eq!(converted.load(Ordering::SeqCst), 2, "the layer was there");
    assert!(t.runtime.specs().iter().all(|spec| spec.command[1] != "convert"), "converters are removed");

    // A layer whose file is gone, as after a restore, is made again.
    let layer = t.data().join("layers").join(format!("{}.erofs", row.layers[0].hex()));
    std::fs::remove_file(layer).unwrap();
    let third = config_of("amd64", &[low, b"new"]);
    push(&t, "boxed/web", &third, &[low, b"new"]).await;
    assert_eq!(ended(&t, "boxed", &third).await.state, ImageState::Ready);
    assert_eq!(converted.load(Ordering::SeqCst), 4);
}

fn layers_of(t: &TestPaddock) -> Vec<LayerDigest> {
    let files = std::fs::read_dir(t.data().join("layers")).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let digest = |name: String| format!("sha256:{}", name.strip_suffix(".erofs")?).parse().ok();
    names.filter_map(digest).collect()
}

#[tokio::test]
async fn two_images_at_once_share_the_conversion_of_a_layer() {
    let t = TestPaddock::start().await;
    for app in ["boxed", "other"] {
        t.app(app).await;
    }
    let mut configs = Vec::new();
    for app in ["boxed", "other"] {
        let (own, shared): (&[u8], &[u8]) = (app.as_bytes(), b"shared");
        let config = config_of("amd64", &[shared, own]);
        push(&t, &format!("{app}/web"), &config, &[shared, own]).await;
        configs.push((app, config));
    }
    let converted = play(&t, plain);
    t.act_by_itself();
    for (app, config) in configs {
        assert_eq!(ended(&t, app, &config).await.state, ImageState::Ready);
    }
    assert_eq!(converted.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn why_an_image_cannot_be_run_is_said_where_it_is_released() {
    let t = TestPaddock::start_alive().await;
    t.app("boxed").await;
    play(&t, |blob| match blob {
        b"bomb" => Err("more files than a layer may have".to_owned()),
        blob => plain(blob),
    });
    let bare = |config: serde_json::Value| config.to_string().into_bytes();
    let windows = bare(json!({ "architecture": "amd64", "os": "windows", "rootfs": { "diff_ids": [] } }));
    let many: Vec<&[u8]> = std::iter::repeat_n(&b"files"[..], 126).collect();
    type Case<'a> = (Vec<u8>, Vec<&'a [u8]>, &'a str);
    let cases: Vec<Case<'_>> = vec![
        (config_of("arm64", &[b"files"]), vec![b"files"], "linux/arm64"),
        (windows, vec![b"files"], "windows/amd64"),
        (b"nonsense".to_vec(), vec![b"files"], "cannot be read"),
        (config_of("amd64", &[]), vec![], "no layers"),
        (config_of("amd64", &[b"files"]), vec![b"files", b"more"], "has 2 layers"),
        (config_of("amd64", &[b"other"]), vec![b"files"], "not of the same image"),
        (config_of("amd64", &[b"bomb"]), vec![b"bomb"], "more files than"),
        (config_of("amd64", &many), many, "126 layers"),
    ];
    for (config, layers, words) in cases {
        push(&t, "boxed/web", &config, &layers).await;
        let row = ended(&t, "boxed", &config).await;
        assert_eq!((row.state, row.layers.len()), (ImageState::Failed, 0), "{words}");
        let update = json!({ "updates": [{ "type": "web", "docker_image": digest_of(&config) }] });
        let refused = t.patch("/apps/boxed/formation").json(update).send().await;
        assert_eq!(refused.refusal(), (422, "invalid_params"), "{words}");
        let said = refused.body["message"].as_str().unwrap();
        assert!(said.contains(words) && said.ends_with('.'), "{words}: {said}");
    }
}

#[tokio::test]
async fn what_failed_is_tried_again_when_it_is_pushed_again() {
    let t = TestPaddock::start_alive().await;
    t.app("boxed").await;
    static FAILS: AtomicUsize = AtomicUsize::new(1);
    play(&t, |blob| match FAILS.fetch_sub(1, Ordering::SeqCst) {
        1 => Err("it is broken".to_owned()),
        _ => plain(blob),
    });
    let config = config_of("amd64", &[b"files"]);
    push(&t, "boxed/web", &config, &[b"files"]).await;
    assert_eq!(ended(&t, "boxed", &config).await.state, ImageState::Failed);
    push(&t, "boxed/web", &config, &[b"files"]).await;
    let is_ready = async || image(&t, "boxed", &config).await.filter(|row| row.state == ImageState::Ready);
    t.eventually("the image is ready", is_ready).await;
}

#[tokio::test]
async fn an_image_of_an_index_is_the_one_for_this_machine_and_a_proof_is_none() {
    let t = TestPaddock::start_alive().await;
    t.app("boxed").await;
    play(&t, plain);
    let mut children = Vec::new();
    for (architecture, os) in [("arm64", "linux"), ("amd64", "linux"), ("unknown", "unknown")] {
        let mut config: serde_json::Value =
            serde_json::from_slice(&config_of(architecture, &[architecture.as_bytes()])).unwrap();
        config["os"] = os.into();
        let config = config.to_string().into_bytes();
        push(&t, "boxed/web", &config, &[architecture.as_bytes()]).await;
        let mut child = named(OCI, &manifest_of(&config, &[architecture.as_bytes()]));
        child["platform"] = json!({ "os": os, "architecture": architecture });
        children.push(child);
        if os == "unknown" {
            assert!(image(&t, "boxed", &config).await.is_none());
        }
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children }).to_string();
    t.put_manifest("boxed/web/manifests/all", INDEX, index.as_bytes()).await.expect(201);
    let owner = t.store.account_by_email(super::support::OWNER).await.unwrap().unwrap().id;
    let images = &t.control.images;
    let patience = Duration::from_secs(10);
    let found = images.base_image(Some(owner), "registry.paddock.example:5000/boxed/web:all", patience).await;
    let id: BlobDigest = digest_of(&config_of("amd64", &[b"amd64"])).parse().unwrap();
    assert_eq!(found.unwrap().unwrap().id, id);
    let by_digest = format!("localhost:5000/boxed/web:x@{}", digest_of(index.as_bytes()));
    assert_eq!(images.base_image(Some(owner), &by_digest, patience).await.unwrap().unwrap().id, id);
    for elsewhere in ["debian", "debian:12", "docker.io/library/debian", "localhost:5001/boxed/web"] {
        assert!(images.base_image(Some(owner), elsewhere, patience).await.unwrap().is_none(), "{elsewhere}");
    }
    let stranger = t.store.account_by_email(super::support::STRANGER).await.unwrap().unwrap().id;
    let refused = images.base_image(Some(stranger), "localhost:5000/boxed/web:all", patience).await;
    assert_eq!(refused.unwrap_err().id.as_str(), "not_found");
    let unknown = images.base_image(Some(owner), "localhost:5000/boxed/web:none", patience).await;
    assert_eq!(unknown.unwrap_err().id.as_str(), "not_found");
}

/// Runs the clean-up until `is_so`.
async fn cleaned(t: &TestPaddock, what: &str, is_so: impl AsyncFn() -> bool) {
    let stop = tokio_util::sync::CancellationToken::new();
    let garbage = t.control.reconcilers(None).into_iter().find(|task| task.name == "garbage").unwrap();
    let running = tokio::spawn(garbage.run(stop.clone()));
    t.eventually(what, async || is_so().await.then_some(())).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_nobody_needs_any_more_goes_and_nothing_else() {
    let t = TestPaddock::start_alive().await;
    t.app("boxed").await;
    play(&t, plain);
    let config = config_of("amd64", &[b"files"]);
    push(&t, "boxed/web", &config, &[b"files"]).await;
    ended(&t, "boxed", &config).await;
    t.push_blob("boxed/web", b"never named").await;
    let begun = t.registry("POST", "/v2/boxed/web/blobs/uploads/").send().await;
    let upload = begun.header("location").unwrap().to_owned();
    t.registry("PATCH", &upload).body("a part").send().await.expect(202);
    // As a kill between a file and its row leaves it.
    let blobs = t.data().join("blobs");
    let orphan = blobs.join(paddock_images::Blobs::place_of(&digest_of(b"orphan").parse().unwrap()));
    std::fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    std::fs::write(&orphan, "orphan").unwrap();
    let has = |bytes: &[u8]| {
        blobs.join(paddock_images::Blobs::place_of(&digest_of(bytes).parse().unwrap())).exists()
    };

    age(&blobs);
    cleaned(&t, "what no row names", async || !orphan.exists()).await;
    assert!(has(b"never named") && has(b"files"));
    t.registry("GET", &upload).send().await.expect(204);

    t.clock.advance(Duration::from_secs(25 * 60 * 60));
    cleaned(&t, "what nothing came of for a day", async || !has(b"never named")).await;
    assert_eq!(t.registry("GET", &upload).send().await.code(), (404, "BLOB_UPLOAD_UNKNOWN"));
    assert!(has(b"files") && has(&config), "what a tag leads to stays");

    t.registry("DELETE", "/v2/boxed/web/manifests/latest").send().await.expect(202);
    cleaned(&t, "a look", async || true).await;
    let manifest = format!("/v2/boxed/web/manifests/{}", digest_of(&manifest_of(&config, &[b"files"])));
    t.registry("GET", &manifest).send().await.expect(200);
    t.clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    cleaned(&t, "what no tag names for a week", async || !has(b"files") && !has(&config)).await;
    assert_eq!(t.registry("GET", &manifest).send().await.code(), (404, "NAME_UNKNOWN"));
    assert!(image(&t, "boxed", &config).await.is_none());
}

#[tokio::test]
async fn a_step_that_wrote_nothing_is_known_for_a_month() {
    let t = TestPaddock::start_alive().await;
    t.app("boxed").await;
    let app = t.store.app_by_name("boxed").await.unwrap().unwrap().id;
    let now = || t.clock.now();
    let mut tx = t.store.begin_record(now(), "test").await.unwrap();
    for key in ["old", "used"] {
        tx.keep_build_step(app, key, &BuildStep { layer: None, size_bytes: 0 }).await.unwrap();
    }
    tx.commit().await.unwrap();
    t.clock.advance(Duration::from_secs(31 * 24 * 60 * 60));
    let used = async |key: &str| {
        let mut tx = t.store.begin_record(now(), "test").await.unwrap();
        let found = tx.use_build_step(app, key).await.unwrap();
        tx.commit().await.unwrap();
        found.is_some()
    };
    assert!(used("used").await);
    // To look is to use: a look that is given up leaves it as it was.
    let is_there = async |key: &str| {
        let mut tx = t.store.begin_record(now(), "test").await.unwrap();
        tx.use_build_step(app, key).await.unwrap().is_some()
    };
    cleaned(&t, "what wrote nothing and is not used", async || !is_there("old").await).await;
    assert!(is_there("used").await);
}

/// Makes every file old enough for a sweep.
fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            let file = std::fs::File::open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        }
    }
}
