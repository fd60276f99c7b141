//! The container registry with the clients that others wrote, beside a registry that others wrote; uploads that break off at
//! any moment.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use e2e::{Answer, ImageClients, Layout, OtherRegistry, Server, digest_of, may_run, tar_of, wait_until};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);
/// A chunk of an upload that breaks off.
const CHUNK: usize = 64 * 1024;

fn with_apps(server: &Server, apps: &[&str]) {
    for app in apps {
        let _ = server.http().api_json("POST", "/apps", &json!({ "name": app })).with_status(201);
    }
}

fn ours(server: &Server) -> String {
    format!("localhost:{}", server.port())
}

fn credentials(server: &Server) -> String {
    format!("_:{}", server.environment()["HEROKU_API_KEY"])
}

/// Text that is not compressed away, and is another for each `seed`.
fn text(seed: usize, length: usize) -> String {
    let mut state = seed as u64 + 1;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap_or(0))
    };
    (0..length).map(letter).collect()
}

/// Every image that was pushed can be run.
fn all_ready(server: &Server, count: usize) {
    wait_until("every image to be ready", SOON, || {
        let states = server.sql("SELECT state FROM images WHERE state <> 'failed'");
        let states: Vec<_> = states.split_whitespace().collect();
        (states.len() >= count && states.iter().all(|state| *state == "ready")).then_some(())
    });
}

#[test]
fn images_of_other_clients_come_back_as_from_another_registry() {
    if !may_run("images by skopeo, buildah and podman") {
        return;
    }
    let server = Server::start();
    with_apps(&server, &["boxed"]);
    let (other, clients) = (OtherRegistry::start(), ImageClients::new());
    let registries = [ours(&server), other.host()];
    skopeo_copies(&server, &clients, &registries);
    buildah_and_podman(&server, &clients, &registries);
    // By either names of media types an image is the same one; the other was built.
    all_ready(&server, 2);
    let failed = server.sql("SELECT failure FROM images WHERE state = 'failed'");
    assert!(failed.contains("linux/arm64"), "{failed}");
}

fn skopeo_copies(server: &Server, clients: &ImageClients, registries: &[String; 2]) {
    let mut layout = Layout::new(&clients.folder().join("made"));
    let (low, high) = (tar_of(&[("low", &text(1, 300_000))]), tar_of(&[("high", "2"), ("serve", "3")]));
    let amd = layout.image("amd", "amd64", &[&low, &high]);
    let arm = layout.image("arm", "arm64", &[&low]);
    layout.index("all", &[arm, amd]);
    for (tag, arguments) in
        [("all", &["--all"][..]), ("amd", &["--dest-compress"]), ("amd", &["--format=v2s2"])]
    {
        let mut read = Vec::new();
        for registry in registries {
            let to = format!("docker://{registry}/boxed/web:{tag}");
            let mut copy = vec!["copy", "--dest-tls-verify=false", "--dest-creds"];
            let credentials = credentials(server);
            copy.push(&credentials);
            copy.extend(arguments);
            let from = layout.name(tag);
            copy.extend([from.as_str(), to.as_str()]);
            let _ = clients.skopeo(&copy).succeeded();
            let inspected =
                clients.skopeo(&["inspect", "--raw", "--tls-verify=false", "--creds", &credentials, &to]);
            read.push(inspected.succeeded().stdout);
        }
        assert_eq!(read[0], read[1], "{tag} {arguments:?}: byte by byte");
    }
    let credentials = credentials(server);
    let pulled = ["here", "there"].map(|name| clients.folder().join(name));
    for (registry, folder) in registries.iter().zip(&pulled) {
        let from = format!("docker://{registry}/boxed/web:all");
        let to = format!("oci:{}:all", folder.display());
        let pull = ["copy", "--all", "--src-tls-verify=false", "--src-creds", &credentials, &from, &to];
        let _ = clients.skopeo(&pull).succeeded();
    }
    let blobs = |folder: &Path| {
        let files = std::fs::read_dir(folder.join("blobs/sha256")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(blobs(&pulled[0]), blobs(&pulled[1]));
    let from = format!("docker://{}/boxed/web:all", registries[0]);
    let tags = server.http().registry("GET", "/v2/boxed/web/tags/list", &[], None).with_status(200).json();
    assert_eq!(tags["tags"], json!(["all", "amd"]));
    let delete = ["delete", "--tls-verify=false", "--creds", &credentials, &from];
    let _ = clients.skopeo(&delete).succeeded();
    let _ = clients.skopeo(&["inspect", "--tls-verify=false", "--creds", &credentials, &from]);
    let gone = server.http().registry("GET", "/v2/boxed/web/manifests/all", &[], None);
    assert_eq!(gone.with_status(404).json()["errors"][0]["code"], "MANIFEST_UNKNOWN");
}

fn buildah_and_podman(server: &Server, clients: &ImageClients, registries: &[String; 2]) {
    let (policy, credentials) = (clients.policy(), credentials(server));
    let tree = clients.folder().join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("serve"), text(4, 100_000)).unwrap();
    let container = clients.buildah(&["from", "scratch"]).succeeded().stdout;
    let container = container.trim();
    let _ = clients.buildah(&["copy", container, &tree.display().to_string(), "/"]).succeeded();
    let _ = clients.buildah(&["config", "--cmd", "/serve", container]).succeeded();
    let _ = clients.buildah(&["commit", &policy, container, "made:1"]).succeeded();
    let mut digests = Vec::new();
    for registry in registries {
        let to = format!("docker://{registry}/boxed/worker:1");
        let file = clients.folder().join("digest").display().to_string();
        let push = ["push", &policy, "--tls-verify=false", "--creds", &credentials, "--digestfile", &file];
        let _ = clients.buildah(&[&push[..], &["made:1", &to]].concat()).succeeded();
        digests.push(std::fs::read_to_string(&file).unwrap());
    }
    assert_eq!(digests[0], digests[1], "the same image has the same digest in both");

    let token = &server.environment()["HEROKU_API_KEY"];
    let login = ["login", "--tls-verify=false", "--username=_", "--password-stdin", &registries[0]];
    let wrong = clients.podman(&login, "wrong");
    let _ = wrong.failed_saying("invalid username/password");
    let _ = clients.podman(&login, token).succeeded();
    let name = format!("{}/boxed/clock:latest", registries[0]);
    let _ = clients.podman(&["push", &policy, "--tls-verify=false", "made:1", &name], "").succeeded();
    let id = clients.podman(&["images", "--quiet", "--no-trunc", "made:1"], "").succeeded().stdout;
    let _ = clients.podman(&["rmi", "--all", "--force"], "").succeeded();
    let pulled = clients.podman(&["pull", "--quiet", &policy, "--tls-verify=false", &name], "").succeeded();
    assert_eq!(pulled.stdout.trim(), id.trim().trim_start_matches("sha256:"), "the same image came back");
    let denied = format!("{}/nobodys/web:latest", registries[0]);
    let _ = clients
        .podman(&["push", &policy, "--tls-verify=false", &name, &denied], "")
        .failed_saying("there is no app nobodys that you work on");
}

#[test]
fn twenty_push_at_once() {
    if !may_run("twenty pushes at once") {
        return;
    }
    let server = Server::start();
    with_apps(&server, &["boxed", "other"]);
    let clients = ImageClients::new();
    let mut layout = Layout::new(&clients.folder().join("made"));
    let shared = tar_of(&[("shared", &text(0, 500_000))]);
    for number in 0..20 {
        let own = tar_of(&[("own", &text(number + 1, 50_000))]);
        let _ = layout.image(&number.to_string(), "amd64", &[&shared, &own]);
    }
    let (layout, clients, server, credentials) = (&layout, &clients, &server, &credentials(&server));
    std::thread::scope(|scope| {
        let pushes: Vec<_> = (0..20)
            .map(|number| {
                scope.spawn(move || {
                    let app = ["boxed", "other"][number % 2];
                    let (from, to) = (
                        layout.name(&number.to_string()),
                        format!("docker://{}/{app}/web:{number}", ours(server)),
                    );
                    clients.skopeo(&[
                        "copy",
                        "--dest-tls-verify=false",
                        "--dest-creds",
                        credentials,
                        &from,
                        &to,
                    ])
                })
            })
            .collect();
        for push in pushes {
            let _ = push.join().unwrap().succeeded();
        }
    });
    all_ready(server, 20);
    let converted = server.sql("SELECT COUNT(*) FROM converted_layers");
    assert_eq!(converted.trim(), "21", "the layer that all have was converted once");
    for app in ["boxed", "other"] {
        let tags = server.http().registry("GET", &format!("/v2/{app}/web/tags/list"), &[], None).json();
        assert_eq!(tags["tags"].as_array().map(Vec::len), Some(10), "{tags}");
    }
}

/// An upload by hand.
struct Upload<'a> {
    server: &'a Server,
    place: String,
}

impl<'a> Upload<'a> {
    fn begin(server: &'a Server) -> Self {
        let begun = server.http().registry("POST", "/v2/boxed/web/blobs/uploads/", &[], Some(""));
        let begun = begun.with_status(202);
        Self { server, place: begun.header("location").unwrap().to_owned() }
    }

    fn patch(&self, offset: usize, bytes: &str) -> Answer {
        let range = format!("Content-Range: {offset}-{}", offset + bytes.len() - 1);
        let kind = "Content-Type: application/octet-stream";
        self.server.http().registry("PATCH", &self.place, &[&range, kind], Some(bytes))
    }

    /// Sends the head of a request for all of `bytes`, and half of them; then the connection is broken.
    fn break_off(&self, bytes: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.port())).unwrap();
        let token = &self.server.environment()["HEROKU_API_KEY"];
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
            self.place,
            bytes.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&bytes.as_bytes()[..bytes.len() / 2]).unwrap();
        stream.flush().unwrap();
        // What was sent is to arrive: the end of one direction is heard after it.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    }

    /// How much has come.
    fn length(&self) -> usize {
        let status = self.server.http().registry("GET", &self.place, &[], None).with_status(204);
        let last = status.header("range").unwrap().strip_prefix("0-").unwrap().parse::<usize>().unwrap();
        if last == 0 { 0 } else { last + 1 }
    }

    fn end(&self, bytes: &str) -> Answer {
        let place = format!("{}?digest={}", self.place, digest_of(bytes.as_bytes()));
        self.server.http().registry("PUT", &place, &[], Some(""))
    }

    /// Whether the app has the blob, as it is.
    fn is_kept(&self, bytes: &str) -> bool {
        let place = format!("/v2/boxed/web/blobs/{}", digest_of(bytes.as_bytes()));
        let got = self.server.http().registry("GET", &place, &[], None);
        got.status == 200 && got.body == bytes
    }
}

#[test]
fn an_upload_that_breaks_off_goes_on_where_it_was() {
    if !may_run("uploads that break off") {
        return;
    }
    let mut server = Server::start();
    for words in ["adopt", "interrupted", "router"] {
        server.announce(words);
    }
    with_apps(&server, &["boxed"]);
    let whole = text(7, 8 * CHUNK);
    let place = {
        let upload = Upload::begin(&server);
        for number in 0..4 {
            // The client goes away in the middle of each chunk, and comes back.
            let begin = upload.length();
            upload.break_off(&whole[begin..begin + CHUNK]);
            let came = wait_until("what was sent before the end", SOON, || {
                let length = upload.length();
                (length >= begin + CHUNK / 2).then_some(length)
            });
            assert_eq!(came, begin + CHUNK / 2, "chunk {number}");
            let gone_on = upload.patch(came, &whole[came..begin + CHUNK]).with_status(202);
            assert_eq!(gone_on.header("range"), Some(format!("0-{}", begin + CHUNK - 1).as_str()));
            let twice = upload.patch(begin, &whole[begin..begin + CHUNK]).with_status(416);
            assert_eq!(twice.header("range"), gone_on.header("range"), "where to go on");
        }
        upload.place
    };
    for number in 4..8 {
        // The server is killed in the middle of each chunk.
        let begin = number * CHUNK;
        std::thread::scope(|scope| {
            let upload = Upload { server: &server, place: place.clone() };
            let body = &whole[begin..begin + CHUNK];
            scope.spawn(move || upload.break_off(body)).join().unwrap();
        });
        server.kill9_serve();
        server.restart();
        let upload = Upload { server: &server, place: place.clone() };
        let came = upload.length();
        assert!((begin..=begin + CHUNK / 2).contains(&came), "{came}: what was acknowledged is there");
        let _ = upload.patch(came, &whole[came..begin + CHUNK]).with_status(202);
    }
    let upload = Upload { server: &server, place };
    let _ = upload.end(&whole).with_status(201);
    assert!(upload.is_kept(&whole));
    let _ = upload.end(&whole).with_status(404);

    refuses_what_was_cut_or_changed(&server);
}

fn refuses_what_was_cut_or_changed(server: &Server) {
    let whole = text(8, CHUNK);
    let cut = Upload::begin(server);
    let _ = cut.patch(0, &whole[..CHUNK - 1]).with_status(202);
    let changed = Upload::begin(server);
    let _ = changed.patch(0, &whole.replacen('a', "b", 1)).with_status(202);
    for upload in [cut, changed] {
        let refused = upload.end(&whole).with_status(400).json();
        assert_eq!(refused["errors"][0]["code"], "DIGEST_INVALID");
        assert!(!upload.is_kept(&whole));
        let again = server.http().registry("GET", &upload.place, &[], None).with_status(404).json();
        assert_eq!(again["errors"][0]["code"], "BLOB_UPLOAD_UNKNOWN");
    }
    let left = || std::fs::read_dir(server.data().join("blobs/uploads")).unwrap().count();
    wait_until("nothing to be left of uploads", SOON, || (left() == 0).then_some(()));
}
