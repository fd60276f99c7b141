//! What images cost beside the bare tools in the same run: a push, a layer made mountable, a Dockerfile built again.
//!
//! The floors: `skopeo copy` of the same image to Debian's `docker-registry`; `mkfs.erofs` of the unpacked tree; `buildah` with
//! its own cache on the same files. `PADDOCK_BENCH_ONLY=pushes` (or `conversions`, `builds`, `neighbour`) does that part alone.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for the terminal")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Http, Image, Port, Root, Server, paddockd, pause, rounds, run};
use serde_json::{Value, json};
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_secs(60);
/// Files of a layer, and the bytes of each: 100 MB that do not get smaller.
const FILES: usize = 2_000;
const FILE_BYTES: usize = 50_000;

fn main() {
    let runs = rounds("PADDOCK_BENCH_RUNS", 5);
    let server = Server::start();
    let http = server.http();
    http.api_json("POST", "/apps", &json!({ "name": "bench", "stack": "container" })).with_status(201);
    println!("\n{:<46}{:>9}{:>9}   bound", "median of so many runs", "ms", "ratio");
    let only = std::env::var("PADDOCK_BENCH_ONLY").ok();
    let wanted = |part: &str| only.as_ref().is_none_or(|only| only == part);
    if wanted("pushes") {
        pushes(&server, runs);
    }
    if wanted("conversions") {
        conversions(runs);
    }
    if wanted("builds") {
        builds(&server, &http, runs);
        first_answer(&server, &http);
    }
    if wanted("neighbour") {
        neighbour(&server, &http);
    }
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds")]
fn line(what: &str, took: Duration, floor: Option<Duration>, bound: &str) {
    let ratio = floor.map(|floor| format!("{:.2}", took.as_secs_f64() / floor.as_secs_f64()));
    println!("{what:<46}{:>9.1}{:>9}   {bound}", took.as_micros() as f64 / 1000.0, ratio.unwrap_or_default());
}

fn timed(mut command: Command) -> Duration {
    command.stdout(Stdio::null());
    let begun = Instant::now();
    run(command, b"", 5 * MINUTE).succeeded();
    begun.elapsed()
}

/// 100 MB that nobody has seen before.
fn new_root() -> Root {
    let root = Root::empty();
    let mut random = fs::File::open("/dev/urandom").unwrap();
    for number in 0..FILES {
        let folder = root.path().join(format!("data/{}", number / 100));
        fs::create_dir_all(&folder).unwrap();
        let mut bytes = vec![0; FILE_BYTES];
        std::io::Read::read_exact(&mut random, &mut bytes).unwrap();
        fs::write(folder.join(number.to_string()), bytes).unwrap();
    }
    root
}

/// Debian's registry on a port of its own, until it is dropped.
struct Registry {
    child: Child,
    port: Port,
    _folder: TempDir,
}

impl Registry {
    fn start() -> Registry {
        let folder = TempDir::with_prefix("paddock-registry-").unwrap();
        let port = Port::take();
        let config = folder.path().join("config.yml");
        let store = folder.path().join("store").display().to_string();
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {store} }} }}\n\
             http: {{ addr: '127.0.0.1:{}' }}\n",
            port.number()
        );
        fs::write(&config, text).unwrap();
        let mut serve = Command::new("docker-registry");
        serve.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = serve.spawn().unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port.number())).is_err() {
            assert!(begun.elapsed() < MINUTE, "docker-registry does not listen");
            pause(Duration::from_millis(10));
        }
        Registry { child, port, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(image: &Image, to: &str, token: Option<&str>) -> Duration {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--quiet", "--dest-tls-verify=false"]);
    if let Some(token) = token {
        skopeo.args(["--dest-creds", &format!("_:{token}")]);
    }
    skopeo.arg(format!("oci:{}", image.layout().display())).arg(to);
    timed(skopeo)
}

fn pushes(server: &Server, runs: usize) {
    let registry = Registry::start();
    let token = server.environment()["HEROKU_API_KEY"].clone();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for number in 0..runs {
        let image = new_root().image(&json!({ "Cmd": ["/none"] }));
        let here = format!("docker://localhost:{}/bench/data:{number}", server.port());
        let there = format!("docker://localhost:{}/bench/data:{number}", registry.port.number());
        bare.push(copy(&image, &there, None));
        ours.push(copy(&image, &here, Some(&token)));
    }
    let bare = median(bare);
    line("a push of 100 MB by skopeo", median(ours), Some(bare), "at most 1.2");
    line("  the same to docker-registry", bare, None, "");
}

fn conversions(runs: usize) {
    let folder = TempDir::with_prefix("paddock-layers-").unwrap();
    let root = new_root();
    let at = |name: &str| folder.path().join(name);
    let mut pack = Command::new("tar");
    pack.args(["--create", "--file"]).arg(at("layer.tar")).arg("--directory").arg(root.path()).arg(".");
    timed(pack);
    let mut squeeze = Command::new("gzip");
    squeeze.args(["--fast", "--keep"]).arg(at("layer.tar"));
    timed(squeeze);
    let convert = |file: &Path, kind: &str| {
        let mut convert = Command::new(paddockd());
        convert.args(["convert", "--media-type", kind, "--tar"]).arg(file);
        convert.arg("--out").arg(at("layer.erofs")).arg("--report").arg(at("report.json"));
        let took = timed(convert);
        fs::remove_file(at("layer.erofs")).unwrap();
        took
    };
    let (mut plain, mut gzipped, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let mut mkfs = Command::new("mkfs.erofs");
        mkfs.args(["--quiet", "-x-1"]).arg(at("bare.erofs")).arg(root.path());
        bare.push(timed(mkfs));
        fs::remove_file(at("bare.erofs")).unwrap();
        plain.push(convert(&at("layer.tar"), "application/vnd.oci.image.layer.v1.tar"));
        gzipped.push(convert(&at("layer.tar.gz"), "application/vnd.oci.image.layer.v1.tar+gzip"));
    }
    let bare = median(bare);
    line("a layer of 100 MB made mountable", median(plain), Some(bare), "at most 1.5");
    line("  from gzip", median(gzipped), Some(bare), "");
    line("  mkfs.erofs of the unpacked tree", bare, None, "");
}

const DOCKERFILE: &str = "FROM scratch\nARG ROUND\nCOPY root/ /\nRUN mkdir -p /srv\nWORKDIR /srv\n\
    RUN touch made && chmod 600 made\nCOPY app /srv/app\nENV A=b\nCMD [\"/bin/sh\", \"-c\", \"sleep 1000\"]\n";

fn builds(server: &Server, http: &Http, runs: usize) {
    let folder = TempDir::with_prefix("paddock-context-").unwrap();
    let root = Root::with_python();
    let mut take = Command::new("cp");
    take.args(["-a"]).arg(root.path()).arg(folder.path().join("root"));
    timed(take);
    fs::write(folder.path().join("app"), "x").unwrap();
    fs::write(folder.path().join("Dockerfile"), DOCKERFILE).unwrap();
    let archive = folder.path().join("source.tgz");
    let mut pack = Command::new("tar");
    pack.args(["--create", "--gzip", "--exclude=source.tgz", "--exclude=containers", "--file"]);
    pack.arg(&archive).arg("--directory").arg(folder.path()).arg(".");
    timed(pack);
    build(server, http, &archive);
    let containers = folder.path().join("containers");
    by_hand(folder.path(), &containers);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        bare.push(by_hand(folder.path(), &containers));
        ours.push(build(server, http, &archive));
    }
    let bare = median(bare);
    line("a Dockerfile built again, unchanged", median(ours), Some(bare), "at most 1.2");
    line("  the same by buildah", bare, None, "");
}

fn by_hand(context: &Path, containers: &Path) -> Duration {
    let mut buildah = Command::new("buildah");
    buildah.args(["--storage-driver", "vfs", "--root"]).arg(containers.join("root"));
    buildah.arg("--runroot").arg(containers.join("run"));
    buildah.args(["bud", "--quiet", "--layers", "--isolation", "chroot", "--tag", "bench"]).arg(context);
    timed(buildah)
}

/// A build of an archive, until it has ended well.
fn build(server: &Server, http: &Http, archive: &Path) -> Duration {
    let source = http.api("POST", "/apps/bench/sources").with_status(201).json();
    let url = |which: &str| source["source_blob"][which].as_str().unwrap().to_owned();
    http.upload(&url("put_url"), &archive.display().to_string()).with_status(200);
    let begun = Instant::now();
    let order = json!({ "source_blob": { "url": url("get_url"), "version": "v" } });
    let made = http.api_json("POST", "/apps/bench/builds", &order).with_status(201).json();
    let path = format!("/apps/bench/builds/{}", made["id"].as_str().unwrap());
    loop {
        let seen: Value = http.api("GET", &path).with_status(200).json();
        match seen["status"].as_str().unwrap() {
            "succeeded" => return begun.elapsed(),
            "failed" => panic!("the build failed: {}", server.log()),
            _ => assert!(begun.elapsed() < 5 * MINUTE, "the build does not end"),
        }
        pause(Duration::from_millis(5));
    }
}

/// From the release of a pushed image to its first answer.
fn first_answer(server: &Server, http: &Http) {
    http.api_json("POST", "/apps", &json!({ "name": "first", "stack": "container" })).with_status(201);
    let image = Root::with_python().image(&json!({
        "Cmd": ["/bin/sh", "-c", "exec python3 -m http.server $PORT"], "WorkingDir": "/srv", "Env": ["PATH=/usr/bin:/bin"],
    }));
    let token = server.environment()["HEROKU_API_KEY"].clone();
    copy(&image, &format!("docker://localhost:{}/first/web:latest", server.port()), Some(&token));
    pause(Duration::from_secs(5));
    let begun = Instant::now();
    let order = json!({ "updates": [{ "type": "web", "docker_image": image.id() }] });
    http.api_json("PATCH", "/apps/first/formation", &order).with_status(200);
    while server.get("first", "/").status != 200 {
        assert!(begun.elapsed() < MINUTE, "the image does not answer: {}", server.log());
        pause(Duration::from_millis(5));
    }
    line("from the release of an image to its answer", begun.elapsed(), None, "at most 2000 ms");
}

const HARM: [&str; 4] = [
    "FROM host\nRUN python3 -c 'import os\nwhile True: os.fork()'\n",
    "FROM host\nRUN python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 24))'\n",
    "FROM host\nRUN for i in 1 2 3 4 5 6 7 8; do yes > /dev/null & done; timeout 8 yes > /dev/null; exit 1\n",
    "FROM host\nRUN head -c 3000000000 /dev/zero > /big; exit 1\n",
];

/// How an app answers while others' Dockerfiles do harm, beside how it answers alone.
fn neighbour(server: &Server, http: &Http) {
    http.api_json("POST", "/apps", &json!({ "name": "near" })).with_status(201);
    let folder = TempDir::with_prefix("paddock-near-").unwrap();
    let near = archive(folder.path(), "near", &[("Procfile", "web: exec python3 -m http.server $PORT\n")]);
    assert_eq!(build_of(http, "near", &near), "succeeded", "{}", server.log());
    server.answers("near", "/");
    let quiet = percentile_99(server);
    let mut harmed = Vec::new();
    for (number, text) in HARM.iter().enumerate() {
        let app = format!("harm-{number}");
        http.api_json("POST", "/apps", &json!({ "name": app, "stack": "container" })).with_status(201);
        let source = archive(folder.path(), &app, &[("Dockerfile", text)]);
        std::thread::scope(|scope| {
            let built = scope.spawn(|| build_of(http, &app, &source));
            pause(Duration::from_secs(1));
            harmed.push(percentile_99(server));
            line(&format!("  number {number}"), harmed[number], Some(quiet), "");
            assert_eq!(built.join().unwrap(), "failed");
        });
    }
    let worst = harmed.iter().max().copied().unwrap_or_default();
    line("p99 of an app beside hostile Dockerfiles", worst, Some(quiet), "below 2");
    line("  the same alone", quiet, None, "");
}

/// Of 400 requests, 10 ms apart.
fn percentile_99(server: &Server) -> Duration {
    let mut all: Vec<Duration> = (0..400)
        .map(|_| {
            let begun = Instant::now();
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            let ask = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.host("near"));
            std::io::Write::write_all(&mut stream, ask.as_bytes()).unwrap();
            let mut answer = Vec::new();
            std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            let took = begun.elapsed();
            pause(Duration::from_millis(10));
            took
        })
        .collect();
    all.sort();
    all[all.len() * 99 / 100]
}

fn archive(folder: &Path, name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let tree = folder.join(name);
    fs::create_dir(&tree).unwrap();
    for (path, text) in files {
        fs::write(tree.join(path), text).unwrap();
    }
    let archive = folder.join(format!("{name}.tgz"));
    let mut pack = Command::new("tar");
    pack.args(["--create", "--gzip", "--file"]).arg(&archive).arg("--directory").arg(&tree).arg(".");
    timed(pack);
    archive
}

/// A build of an archive, to its end: how it ended.
fn build_of(http: &Http, app: &str, archive: &Path) -> String {
    let source = http.api("POST", &format!("/apps/{app}/sources")).with_status(201).json();
    let url = |which: &str| source["source_blob"][which].as_str().unwrap().to_owned();
    http.upload(&url("put_url"), &archive.display().to_string()).with_status(200);
    let order = json!({ "source_blob": { "url": url("get_url"), "version": "v" } });
    let made = http.api_json("POST", &format!("/apps/{app}/builds"), &order).with_status(201).json();
    let path = format!("/apps/{app}/builds/{}", made["id"].as_str().unwrap());
    let begun = Instant::now();
    loop {
        let seen: Value = http.api("GET", &path).with_status(200).json();
        match seen["status"].as_str().unwrap() {
            "pending" => assert!(begun.elapsed() < 5 * MINUTE, "the build does not end"),
            ended => return ended.to_owned(),
        }
        pause(Duration::from_millis(5));
    }
}
