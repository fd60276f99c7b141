//! The container registry, by its public protocol: pull, push, chunks, mount, tags, referrers, deletion, errors. What a
//! conformant registry is asked is asked here, each in the order of the specification.

use paddock_core::BlobDigest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{Answer, Call, REGISTRY_BYTES, TestPaddock};

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    BlobDigest::of_sha256(Sha256::digest(bytes).into()).to_string()
}

pub(crate) fn named(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": digest_of(bytes), "size": bytes.len() })
}

/// A configuration of an image with these layers.
pub(crate) fn config_of(architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest_of(layer)).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Cmd": ["serve"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    config.to_string().into_bytes()
}

pub(crate) fn manifest_of(config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    let layers: Vec<_> = layers.iter().map(|layer| named(LAYER, layer)).collect();
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": OCI, "config": named(CONFIG, config), "layers": layers });
    manifest.to_string().into_bytes()
}

impl TestPaddock {
    /// A call as a client of registries makes it.
    pub(crate) fn registry(&self, method: &str, path: &str) -> Call<'_> {
        let token = self.token.clone();
        self.call(method, path).header("accept", "*/*").basic("_", &token)
    }

    /// Begins an upload; where it goes on.
    async fn begin(&self, repository: &str) -> String {
        let answer = self.registry("POST", &format!("/v2/{repository}/blobs/uploads/")).send().await;
        answer.expect(202);
        assert_eq!(answer.header("range"), Some("0-0"));
        assert!(answer.header("docker-upload-uuid").is_some());
        answer.header("location").unwrap().to_owned()
    }

    /// Pushes a blob in one piece; its digest.
    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let (place, digest) = (self.begin(repository).await, digest_of(bytes));
        let put = self.registry("PUT", &format!("{place}?digest={digest}"));
        put.body(bytes.to_vec()).send().await.expect(201);
        digest
    }

    pub(crate) async fn put_manifest(&self, place: &str, kind: &str, manifest: &[u8]) -> Answer {
        let put = self.registry("PUT", &format!("/v2/{place}"));
        put.header("content-type", kind).body(manifest.to_vec()).send().await
    }

    /// Pushes an image with one layer; its manifest.
    pub(crate) async fn push_image(&self, repository: &str, tag: &str, layer: &[u8]) -> Vec<u8> {
        let config = config_of("amd64", &[layer]);
        self.push_blob(repository, layer).await;
        self.push_blob(repository, &config).await;
        let manifest = manifest_of(&config, &[layer]);
        self.put_manifest(&format!("{repository}/manifests/{tag}"), OCI, &manifest).await.expect(201);
        manifest
    }
}

impl Answer {
    /// Status and code of a refusal in the registry's form.
    #[track_caller]
    pub(crate) fn code(&self) -> (u16, &str) {
        let error = &self.body["errors"][0];
        assert!(error["message"].as_str().is_some_and(|text| text.ends_with('.')), "{self:?}");
        assert_eq!(self.header("docker-distribution-api-version"), Some("registry/2.0"));
        (self.status.as_u16(), error["code"].as_str().unwrap())
    }
}

#[tokio::test]
async fn what_was_pushed_is_pulled() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let base = t.registry("GET", "/v2/").send().await;
    base.expect(200);
    assert_eq!(base.header("docker-distribution-api-version"), Some("registry/2.0"));
    let manifest = t.push_image("boxed/web", "latest", b"files").await;
    let (digest, layer) = (digest_of(&manifest), digest_of(b"files"));

    for reference in ["latest", &digest] {
        let place = format!("/v2/boxed/web/manifests/{reference}");
        let head = t.registry("HEAD", &place).send().await;
        let got = t.registry("GET", &place).send().await;
        assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
        got.expect(200);
        assert_eq!(got.bytes, manifest, "byte by byte");
        for answer in [&head, &got] {
            assert_eq!(answer.header("content-type"), Some(OCI));
            assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(answer.header("content-length"), Some(manifest.len().to_string().as_str()));
        }
        let tag = got.header("etag").unwrap().to_owned();
        t.registry("GET", &place).header("if-none-match", &tag).send().await.expect(304);
    }
    let place = format!("/v2/boxed/web/blobs/{layer}");
    let head = t.registry("HEAD", &place).send().await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, Some("5")));
    let got = t.registry("GET", &place).send().await;
    assert_eq!((got.status.as_u16(), &got.bytes[..]), (200, &b"files"[..]));
    assert_eq!(got.header("docker-content-digest"), Some(layer.as_str()));
    let part = t.registry("GET", &place).header("range", "bytes=1-3").send().await;
    assert_eq!((part.status.as_u16(), &part.bytes[..]), (206, &b"ile"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 1-3/5"));
    let beyond = t.registry("GET", &place).header("range", "bytes=5-").send().await;
    assert_eq!(beyond.header("content-range"), Some("bytes */5"));
    assert_eq!(beyond.code(), (416, "RANGE_INVALID"));
    // The blobs are the app's, whichever repository of it they came to.
    t.registry("HEAD", &format!("/v2/boxed/worker/blobs/{layer}")).send().await.expect(200);

    let none = "sha256:".to_owned() + &"0".repeat(64);
    let missing = [
        (format!("/v2/boxed/web/blobs/{none}"), "BLOB_UNKNOWN"),
        (format!("/v2/boxed/web/manifests/{none}"), "MANIFEST_UNKNOWN"),
        ("/v2/boxed/web/manifests/none".to_owned(), "MANIFEST_UNKNOWN"),
        ("/v2/boxed/worker/manifests/latest".to_owned(), "NAME_UNKNOWN"),
        ("/v2/boxed/worker/tags/list".to_owned(), "NAME_UNKNOWN"),
        ("/v2/nobodys/web/manifests/latest".to_owned(), "NAME_UNKNOWN"),
    ];
    for (place, code) in missing {
        assert_eq!(t.registry("GET", &place).send().await.code(), (404, code), "{place}");
        assert_eq!(t.registry("HEAD", &place).send().await.status, 404, "{place}");
    }
}

#[tokio::test]
async fn a_blob_comes_whole_or_in_chunks() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let digest = digest_of(b"one two three");
    // Begun and ended by one request.
    let whole = format!("/v2/boxed/web/blobs/uploads/?digest={}", digest_of(b"whole"));
    let answer = t.registry("POST", &whole).body("whole").send().await;
    answer.expect(201);
    assert_eq!(
        answer.header("location"),
        Some(format!("/v2/boxed/web/blobs/{}", digest_of(b"whole")).as_str())
    );

    let place = t.begin("boxed/web").await;
    let chunk = |range: &str, bytes: &'static str| {
        t.registry("PATCH", &place).header("content-range", range).body(bytes).send()
    };
    let first = chunk("0-3", "one ").await;
    first.expect(202);
    assert_eq!((first.header("range"), first.header("location")), (Some("0-3"), Some(place.as_str())));
    // Not in order, twice, and less than was said.
    for (range, bytes) in [("8-12", "three"), ("0-3", "one ")] {
        let refused = chunk(range, bytes).await;
        assert_eq!(refused.code(), (416, "RANGE_INVALID"));
        assert_eq!(refused.header("range"), Some("0-3"), "where to go on");
    }
    assert_eq!(chunk("x-y", "?").await.code(), (400, "BLOB_UPLOAD_INVALID"));
    let status = t.registry("GET", &place).send().await;
    status.expect(204);
    assert_eq!((status.header("range"), status.header("location")), (Some("0-3"), Some(place.as_str())));
    chunk("4-7", "two ").await.expect(202);
    // The last one with the end; a digest that lies would end it, too.
    let put = t.registry("PUT", &format!("{place}?digest={digest}")).header("content-range", "8-12");
    let ended = put.body("three").send().await;
    ended.expect(201);
    assert_eq!(ended.header("docker-content-digest"), Some(digest.as_str()));
    let got = t.registry("GET", ended.header("location").unwrap()).send().await;
    assert_eq!(&got.bytes[..], b"one two three");
    assert_eq!(t.registry("GET", &place).send().await.code(), (404, "BLOB_UPLOAD_UNKNOWN"));

    let streamed = t.begin("boxed/web").await;
    t.registry("PATCH", &streamed).body("streamed").send().await.expect(202);
    let short = t.registry("PATCH", &streamed).header("content-range", "8-99").body("!").send().await;
    assert_eq!(short.code(), (400, "SIZE_INVALID"));
    assert_eq!(t.registry("PUT", &streamed).send().await.code(), (400, "DIGEST_INVALID"));
    let lie = t.registry("PUT", &format!("{streamed}?digest={digest}")).send().await;
    assert_eq!(lie.code(), (400, "DIGEST_INVALID"));
    assert_eq!(lie.body["errors"][0]["detail"]["digest"], digest_of(b"streamed!"));
    assert_eq!(t.registry("GET", &streamed).send().await.code(), (404, "BLOB_UPLOAD_UNKNOWN"));

    let given_up = t.begin("boxed/web").await;
    t.registry("DELETE", &given_up).send().await.expect(204);
    assert_eq!(t.registry("PATCH", &given_up).body("x").send().await.code(), (404, "BLOB_UPLOAD_UNKNOWN"));
    let empty = t.push_blob("boxed/web", b"").await;
    assert_eq!(t.registry("GET", &format!("/v2/boxed/web/blobs/{empty}")).send().await.bytes.len(), 0);
    let left = std::fs::read_dir(t.data().join("blobs/uploads")).unwrap().count();
    assert_eq!(left, 0, "what has ended leaves nothing");
}

#[tokio::test]
async fn an_upload_goes_on_after_the_server_ended() {
    let mut t = TestPaddock::start().await;
    t.app("boxed").await;
    let place = t.begin("boxed/web").await;
    t.registry("PATCH", &place).body("before ").send().await.expect(202);
    t.stop().await;
    let t = t.another_run().await;
    assert_eq!(t.registry("GET", &place).send().await.header("range"), Some("0-6"));
    t.registry("PATCH", &place).header("content-range", "7-11").body("after").send().await.expect(202);
    let digest = digest_of(b"before after");
    t.registry("PUT", &format!("{place}?digest={digest}")).send().await.expect(201);
    t.registry("HEAD", &format!("/v2/boxed/web/blobs/{digest}")).send().await.expect(200);
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_one_may_pull_it() {
    let t = TestPaddock::start().await;
    for app in ["source", "target"] {
        t.app(app).await;
    }
    let digest = t.push_blob("source/web", b"shared").await;
    let mount =
        |to: &str, from: &str| t.registry("POST", &format!("/v2/{to}/blobs/uploads/?mount={digest}{from}"));
    let refused = mount("target/web", "&from=source/web").stranger().send().await;
    assert_eq!(refused.code(), (403, "DENIED"), "the target is not the stranger's");
    for nothing in ["", "&from=nobodys/web", "&from=target/worker", "&from=nonsense"] {
        let begun = mount("target/web", nothing).send().await;
        begun.expect(202);
        assert!(begun.header("location").unwrap().contains("/uploads/"), "{nothing}");
    }
    let mounted = mount("target/web", "&from=source/web").send().await;
    mounted.expect(201);
    assert_eq!(mounted.header("location"), Some(format!("/v2/target/web/blobs/{digest}").as_str()));
    let got = t.registry("GET", &format!("/v2/target/web/blobs/{digest}")).send().await;
    assert_eq!(&got.bytes[..], b"shared");

    // Whoever may not pull from an app learns nothing of what it has.
    let theirs = t.post("/apps").stranger().json(json!({ "name": "theirs" })).send().await;
    theirs.expect(201);
    for digest in [digest, digest_of(b"nobody has this")] {
        let asked = format!("/v2/theirs/web/blobs/uploads/?mount={digest}&from=source/web");
        t.registry("POST", &asked).stranger().send().await.expect(202);
    }
}

#[tokio::test]
async fn a_manifest_names_what_is_there() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let config = config_of("amd64", &[b"files"]);
    let manifest = manifest_of(&config, &[b"files"]);
    let put = |reference: &str, kind: &'static str, manifest: Vec<u8>| {
        let place = format!("boxed/web/manifests/{reference}");
        let t = &t;
        async move { t.put_manifest(&place, kind, &manifest).await }
    };
    let early = put("latest", OCI, manifest.clone()).await;
    assert_eq!(early.code(), (400, "MANIFEST_BLOB_UNKNOWN"));
    assert_eq!(early.body["errors"][0]["detail"]["digest"], digest_of(&config));
    t.push_blob("boxed/web", &config).await;
    let early = put("latest", OCI, manifest.clone()).await;
    assert_eq!(early.body["errors"][0]["detail"]["digest"], digest_of(b"files"));
    t.push_blob("boxed/web", b"files").await;

    let digest = digest_of(&manifest);
    let by_digest = put(&digest, OCI, manifest.clone()).await;
    by_digest.expect(201);
    assert_eq!(by_digest.header("location"), Some(format!("/v2/boxed/web/manifests/{digest}").as_str()));
    assert_eq!(put(&digest_of(b"other"), OCI, manifest.clone()).await.code(), (400, "DIGEST_INVALID"));
    for (kind, text) in [
        (OCI, "{".to_owned()),
        (OCI, "[]".to_owned()),
        ("text/html", String::from_utf8(manifest.clone()).unwrap()),
        (DOCKER, String::from_utf8(manifest.clone()).unwrap()),
        (OCI, String::from_utf8(manifest.clone()).unwrap().replace("\"size\":5", "\"size\":6")),
    ] {
        assert_eq!(put("latest", kind, text.into_bytes()).await.code(), (400, "MANIFEST_INVALID"), "{kind}");
    }
    let index = |child: &str| {
        let child = json!({ "mediaType": OCI, "digest": child, "size": 1 });
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child] }).to_string().into_bytes()
    };
    assert_eq!(put("all", INDEX, index(&digest_of(b"x"))).await.code(), (400, "MANIFEST_BLOB_UNKNOWN"));
    put("all", INDEX, index(&digest)).await.expect(201);
    let large = vec![b' '; (4 << 20) + 1];
    assert_eq!(put("latest", OCI, large).await.code(), (413, "SIZE_INVALID"));
    let bad = put("-x", OCI, manifest).await;
    assert_eq!(bad.code(), (400, "MANIFEST_INVALID"), "no tag");
}

#[tokio::test]
async fn a_client_without_indices_gets_the_image_for_this_machine() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let push = async |architecture: &str| {
        let (layer, config) = (architecture.as_bytes(), config_of(architecture, &[architecture.as_bytes()]));
        t.push_blob("boxed/web", layer).await;
        t.push_blob("boxed/web", &config).await;
        let manifest = manifest_of(&config, &[layer]);
        let place = format!("boxed/web/manifests/{}", digest_of(&manifest));
        t.put_manifest(&place, OCI, &manifest).await.expect(201);
        let mut child = named(OCI, &manifest);
        child["platform"] = json!({ "os": "linux", "architecture": architecture });
        (manifest, child)
    };
    let ((_, arm), (ours, amd)) = (push("arm64").await, push("amd64").await);
    let index_of =
        |of: &[Value]| json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": of }).to_string();
    let index = index_of(&[arm.clone(), amd]);
    t.put_manifest("boxed/web/manifests/latest", INDEX, index.as_bytes()).await.expect(201);

    let place = "/v2/boxed/web/manifests/latest";
    let all = t.registry("GET", place).header("accept", INDEX).send().await;
    assert_eq!((all.header("content-type"), all.bytes.len()), (Some(INDEX), index.len()));
    // What the official client asks for the image's id, and how it logs in.
    let token = t.token.clone();
    let of_cli = t.get(place).header("accept", DOCKER).basic("", &token).send().await;
    of_cli.expect(200);
    assert_eq!(of_cli.bytes, ours);
    assert!(of_cli.header("content-type").unwrap().ends_with("+json"));
    assert_eq!(of_cli.body["config"]["digest"], digest_of(&config_of("amd64", &[b"amd64"])));
    let by_digest = format!("/v2/boxed/web/manifests/{}", digest_of(index.as_bytes()));
    let exact = t.registry("GET", &by_digest).header("accept", DOCKER).send().await;
    assert_eq!(exact.header("content-type"), Some(INDEX), "a digest names that and nothing else");
    // One without such an image is told apart from an image, which the client would look for an id in.
    let of_arm = index_of(&[arm]);
    for (tag, index, words) in [
        ("empty", index_of(&[]), "boxed/web:empty is no image for this server: the index names no image"),
        ("arm", of_arm, "boxed/web:arm is no image for this server: the image is for linux/arm64"),
    ] {
        t.put_manifest(&format!("boxed/web/manifests/{tag}"), INDEX, index.as_bytes()).await.expect(201);
        let place = format!("/v2/boxed/web/manifests/{tag}");
        let refused = t.registry("GET", &place).header("accept", DOCKER).send().await;
        assert_eq!(refused.code(), (404, "MANIFEST_UNKNOWN"));
        let said = refused.body["errors"][0]["message"].as_str().unwrap();
        assert!(said.starts_with(words), "{said}");
        let whole = t.registry("GET", &place).header("accept", INDEX).send().await;
        assert_eq!(whole.bytes, index.as_bytes());
    }
}

#[tokio::test]
async fn tags_and_repositories_are_listed_in_parts() {
    let t = TestPaddock::start().await;
    for app in ["boxed", "apples", "unpushed"] {
        t.app(app).await;
    }
    let manifest = t.push_image("boxed/web", "b", b"files").await;
    t.push_image("apples/worker", "latest", b"files").await;
    for tag in ["c", "a"] {
        t.put_manifest(&format!("boxed/web/manifests/{tag}"), OCI, &manifest).await.expect(201);
    }
    let list = |query: &str| t.registry("GET", &format!("/v2/boxed/web/tags/list{query}")).send();
    assert_eq!(list("").await.expect(200), &json!({ "name": "boxed/web", "tags": ["a", "b", "c"] }));
    let first = list("?n=2").await;
    assert_eq!(first.expect(200)["tags"], json!(["a", "b"]));
    assert_eq!(first.header("link"), Some("</v2/boxed/web/tags/list?n=2&last=b>; rel=\"next\""));
    let last = list("?n=2&last=b").await;
    assert_eq!((last.expect(200)["tags"].clone(), last.header("link")), (json!(["c"]), None));
    let none = list("?n=0").await;
    assert_eq!((none.expect(200)["tags"].clone(), none.header("link")), (json!([]), None));
    assert_eq!(list("?n=x").await.code(), (400, "PAGINATION_NUMBER_INVALID"));

    let catalog = |query: &str| t.registry("GET", &format!("/v2/_catalog{query}")).send();
    let all = json!(["apples/worker", "boxed/web"]);
    assert_eq!(catalog("").await.expect(200)["repositories"], all);
    let first = catalog("?n=1").await;
    assert_eq!(first.header("link"), Some("</v2/_catalog?n=1&last=apples/worker>; rel=\"next\""));
    assert_eq!(catalog("?n=1&last=apples/worker").await.expect(200)["repositories"], json!(["boxed/web"]));
    let others = t.registry("GET", "/v2/_catalog").stranger().send().await;
    assert_eq!(others.expect(200)["repositories"], json!([]));
}

#[tokio::test]
async fn what_is_about_a_manifest_is_found() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let manifest = t.push_image("boxed/web", "latest", b"files").await;
    let empty = t.push_blob("boxed/web", b"{}").await;
    let about = |kind: &str| {
        let artifact = json!({
            "schemaVersion": 2, "mediaType": OCI, "artifactType": kind,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
            "layers": [], "subject": named(OCI, &manifest), "annotations": { "by": kind },
        });
        artifact.to_string().into_bytes()
    };
    let place = format!("/v2/boxed/web/referrers/{}", digest_of(&manifest));
    let none = t.registry("GET", &place).send().await;
    assert_eq!((none.header("content-type"), &none.expect(200)["manifests"]), (Some(INDEX), &json!([])));
    for kind in ["a/signature", "a/list"] {
        let artifact = about(kind);
        let put =
            t.put_manifest(&format!("boxed/web/manifests/{}", digest_of(&artifact)), OCI, &artifact).await;
        put.expect(201);
        assert_eq!(put.header("oci-subject"), Some(digest_of(&manifest).as_str()));
    }
    let found = t.registry("GET", &place).send().await;
    assert_eq!(found.expect(200)["manifests"].as_array().unwrap().len(), 2);
    let filtered = t.registry("GET", &format!("{place}?artifactType=a/list")).send().await;
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    let mut expected = named(OCI, &about("a/list"));
    expected["artifactType"] = "a/list".into();
    expected["annotations"] = json!({ "by": "a/list" });
    assert_eq!(filtered.body["manifests"], json!([expected]));
}

#[tokio::test]
async fn what_is_about_a_manifest_comes_in_parts_where_much_is_said() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let manifest = t.push_image("boxed/web", "latest", b"files").await;
    let empty = t.push_blob("boxed/web", b"{}").await;
    let mut pushed = Vec::new();
    for kind in ["a/1", "a/2", "a/3 &"] {
        let artifact = json!({
            "schemaVersion": 2, "mediaType": OCI, "artifactType": kind,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
            "subject": named(OCI, &manifest), "annotations": { "by": "x".repeat(5 << 19) },
        });
        let artifact = artifact.to_string().into_bytes();
        let digest = digest_of(&artifact);
        t.put_manifest(&format!("boxed/web/manifests/{digest}"), OCI, &artifact).await.expect(201);
        pushed.push(digest);
    }
    pushed.sort_unstable();
    let names = |answer: &Answer| {
        let list = answer.body["manifests"].as_array().unwrap().iter();
        list.map(|one| one["digest"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let place = format!("/v2/boxed/web/referrers/{}", digest_of(&manifest));
    let first = t.registry("GET", &place).send().await;
    assert_eq!(names(&first), pushed[..2]);
    let next = format!("{place}?last={}", pushed[1]);
    assert_eq!(first.header("link"), Some(format!("<{next}>; rel=\"next\"").as_str()));
    let second = t.registry("GET", &next).send().await;
    assert_eq!((names(&second), second.header("link")), (pushed[2..].to_vec(), None));
    let of_kind = t.registry("GET", &format!("{place}?artifactType=a/3%20%26")).send().await;
    let next = of_kind.header("link").unwrap();
    assert!(next.ends_with("&artifactType=a/3%20%26>; rel=\"next\""), "{next}");
}

#[tokio::test]
async fn what_is_deleted_is_gone_in_its_order() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let manifest = t.push_image("boxed/web", "latest", b"files").await;
    t.put_manifest("boxed/web/manifests/other", OCI, &manifest).await.expect(201);
    let (digest, layer) = (digest_of(&manifest), digest_of(b"files"));
    let (tag, by_digest) = ("/v2/boxed/web/manifests/latest", format!("/v2/boxed/web/manifests/{digest}"));
    let blob = format!("/v2/boxed/web/blobs/{layer}");
    let delete = |place: &str| t.registry("DELETE", place).send();
    assert_eq!(delete(&blob).await.code(), (405, "UNSUPPORTED"), "a manifest names it");
    delete(tag).await.expect(202);
    assert_eq!(delete(tag).await.code(), (404, "MANIFEST_UNKNOWN"));
    t.registry("GET", &by_digest).send().await.expect(200);
    delete(&by_digest).await.expect(202);
    assert_eq!(t.registry("GET", "/v2/boxed/web/manifests/other").send().await.code(), (404, "NAME_UNKNOWN"));
    delete(&blob).await.expect(202);
    assert_eq!(delete(&blob).await.code(), (404, "BLOB_UNKNOWN"));
    assert_eq!(t.registry("HEAD", &blob).send().await.status, 404);
}

#[tokio::test]
async fn a_registry_is_full_some_day() {
    let t = TestPaddock::start().await;
    for app in ["boxed", "other"] {
        t.app(app).await;
    }
    let half = vec![7; usize::try_from(REGISTRY_BYTES / 2 + 1).unwrap()];
    t.push_blob("boxed/web", &half).await;
    let place = t.begin("boxed/web").await;
    let refused = t.registry("PATCH", &place).body(half.clone()).send().await;
    assert_eq!(refused.code(), (403, "DENIED"));
    assert!(refused.body["errors"][0]["message"].as_str().unwrap().contains("no room"));
    // What came of it counts until it is given up.
    t.registry("DELETE", &place).send().await.expect(204);
    t.push_blob("boxed/web", b"small").await;
    // The other app has room of its own, for what comes and for what is mounted.
    let other = t.push_blob("other/web", &[8; 1 << 20]).await;
    let mount = format!("/v2/boxed/web/blobs/uploads/?mount={other}&from=other/web");
    t.registry("POST", &mount).send().await.expect(201);
    let more = t.push_blob("other/web", &[9; 1 << 20]).await;
    let mount = format!("/v2/boxed/web/blobs/uploads/?mount={more}&from=other/web");
    t.registry("POST", &mount).send().await.expect(202);
}

#[tokio::test]
async fn what_is_none_is_said_in_the_registrys_words() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    for (method, place, status, code) in [
        ("GET", "/v2/Boxed/web/manifests/latest", 400, "NAME_INVALID"),
        ("GET", "/v2/boxed/Web/manifests/latest", 400, "NAME_INVALID"),
        ("POST", "/v2/boxed/w_-b/blobs/uploads/", 400, "NAME_INVALID"),
        ("POST", "/v2/boxed/blobs/uploads/", 400, "NAME_INVALID"),
        ("GET", "/v2/boxed/a/b/manifests/latest", 400, "NAME_INVALID"),
        ("GET", "/v2/boxed/web/blobs/sha512:0", 400, "DIGEST_INVALID"),
        ("GET", "/v2/boxed/web/blobs/uploads/nonsense", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("POST", "/v2/boxed/web/blobs/uploads/?mount=nonsense", 400, "DIGEST_INVALID"),
        ("PATCH", "/v2/boxed/web/manifests/latest", 405, "UNSUPPORTED"),
        ("POST", "/v2/", 405, "UNSUPPORTED"),
        ("POST", "/v2/nobodys/web/blobs/uploads/", 403, "DENIED"),
    ] {
        assert_eq!(t.registry(method, place).send().await.code(), (status, code), "{method} {place}");
    }
}
