//! Builds whose source lies on another server: fetched by the build, under the outbound rule.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{Http, Server, may_run, wait_until};
use serde_json::{Value, json};

const APP: &str = "fetching";
/// Everything on loopback, as an operator would list a server of archives in the house.
const LOOPBACK: [&str; 2] = ["--allow-egress", "127.0.0.0/8"];

/// A server of archives: `/app.tgz`, `/hang` (a head and then nothing), `/to?URL` (a redirect), `/loop`.
const ARCHIVES: &str = r#"
import http.server, io, sys, tarfile, threading
buffer = io.BytesIO()
archive = tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.USTAR_FORMAT)
for name, text in ("Procfile", b"web: python3 -m http.server $PORT\n"), ("page", b"fetched\n"):
    entry = tarfile.TarInfo("top/" + name)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text))
archive.close()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/to" or path == "/loop":
            self.send_response(302)
            self.send_header("Location", query or self.path)
            self.end_headers()
        elif path == "/hang":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.rfile.read(1)
        elif path == "/app.tgz":
            self.send_response(200)
            self.send_header("Content-Length", str(len(buffer.getvalue())))
            self.end_headers()
            self.wfile.write(buffer.getvalue())
        else:
            self.send_error(404)
    def log_message(self, *words): pass
import hashlib
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], hashlib.sha256(buffer.getvalue()).hexdigest(), flush=True)
server.serve_forever()
"#;

struct Archives {
    program: Child,
    port: String,
    sha256: String,
}

impl Archives {
    fn start() -> Archives {
        let mut command = Command::new("python3");
        let mut program = command.args(["-c", ARCHIVES]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (port, sha256) = line.trim().split_once(' ').unwrap();
        Archives { program, port: port.to_owned(), sha256: sha256.to_owned() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Archives {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn app(http: &Http) {
    let _ = http.api_json("POST", "/apps", &json!({ "name": APP })).with_status(201);
}

fn begin(http: &Http, url: &str, checksum: Option<&str>) -> Value {
    let blob = json!({ "source_blob": { "url": url, "checksum": checksum, "version": "v1" } });
    http.api_json("POST", &format!("/apps/{APP}/builds"), &blob).with_status(201).json()
}

/// The verdict on a build and what it said.
fn verdict(http: &Http, build: &Value) -> (String, String) {
    let path = format!("/apps/{APP}/builds/{}", build["id"].as_str().unwrap());
    let status = wait_until("the build's verdict", Duration::from_secs(60), || {
        let status = http.api("GET", &path).json()["status"].as_str()?.to_owned();
        (status != "pending").then_some(status)
    });
    (status, http.request("GET", build["output_stream_url"].as_str().unwrap(), &[], None).body)
}

#[test]
fn an_archive_on_another_server_is_fetched_checked_and_built() {
    if !may_run("a source on another server") {
        return;
    }
    let (server, archives) = (Server::start_with(&LOOPBACK), Archives::start());
    let http = server.http();
    app(&http);
    let checksum = format!("SHA256:{}", archives.sha256);
    // Through a redirect, with what may be secret in the address.
    let url = archives.url("/to?/app.tgz?signature=sesame-signature");
    let url = url.replace("http://", "http://user:sesame-password@");
    let build = begin(&http, &url, Some(&checksum));
    let (status, said) = verdict(&http, &build);
    assert_eq!(status, "succeeded", "{said}");
    let fetching = format!("-----> Fetching source from {}\n", archives.url("/to"));
    assert!(said.starts_with(&fetching) && said.contains("       Done: 0.1M\n"), "{said}");
    assert!(server.answers(APP, "/page").body.contains("fetched"));
    // What may be secret is nowhere: not in the answers, the output, the log, nor on disk.
    let shown = http.api("GET", &format!("/apps/{APP}/builds")).body;
    assert!(shown.contains(&archives.url("/to")), "{shown}");
    assert!(!(shown + &said + &server.log()).contains("sesame"));
    assert_eq!(e2e::files_with(&server.data(), "sesame"), "", "a secret lies in the data folder");

    for (url, checksum, words) in [
        (archives.url("/app.tgz"), Some(format!("SHA256:{}", "0".repeat(64))), "its checksum is SHA256:"),
        (archives.url("/none.tgz"), None, "/none.tgz answered with status 404"),
        (archives.url("/loop"), None, "redirects more than five times"),
        (
            archives.url("/to?http://169.254.169.254/latest/"),
            None,
            "169.254.169.254, which this platform does not fetch",
        ),
        (archives.url("/to?file:///etc/passwd"), None, "must begin with https:// or http://"),
        ("http://no-such-host.invalid/a.tgz".into(), None, "could not be found: check its name"),
        (format!("http://localhost.:{}/app.tgz", server.port()), None, "The source could not be fetched"),
    ] {
        let (status, said) = verdict(&http, &begin(&http, &url, checksum.as_deref()));
        assert_eq!(status, "failed", "{url}\n{said}");
        assert!(said.contains(words) && said.contains(" !     Push failed"), "{url}\n{said}");
    }
    for url in ["ftp://h/a.tgz", "file:///etc/passwd", "nonsense", "http://h:25/a.tgz", ""] {
        let blob = json!({ "source_blob": { "url": url } });
        let answer = http.api_json("POST", &format!("/apps/{APP}/builds"), &blob).with_status(422);
        assert_eq!(answer.json()["id"], "invalid_params", "{url}");
    }
    assert!(server.answers(APP, "/page").body.contains("fetched"), "the app goes on");
}

#[test]
fn this_machine_is_not_a_source_unless_the_operator_says_so() {
    if !may_run("a source on this machine") {
        return;
    }
    let (server, archives) = (Server::start(), Archives::start());
    let http = server.http();
    app(&http);
    for host in ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"] {
        let url = format!("http://{host}:{}/app.tgz", archives.port);
        let (status, said) = verdict(&http, &begin(&http, &url, None));
        assert_eq!(status, "failed", "{host}\n{said}");
        assert!(said.contains("which this platform does not fetch from"), "{host}\n{said}");
    }
}

#[test]
fn a_fetch_ends_with_its_build_whoever_ends_it() {
    if !may_run("a source that does not come") {
        return;
    }
    let (mut server, archives) = (Server::start_with(&LOOPBACK), Archives::start());
    let http = server.http();
    app(&http);
    let fetching = |http: &Http, build: &Value| {
        // The address has been asked for once the file is there, still empty.
        let file = server.data().join(format!("sources/build-{}.tar", build["id"].as_str().unwrap()));
        wait_until("the fetch to begin", Duration::from_secs(20), || file.exists().then_some(()));
        assert_eq!(
            http.api("GET", &format!("/apps/{APP}/builds/{}", build["id"].as_str().unwrap())).json()["status"],
            "pending"
        );
        file
    };
    let build = begin(&http, &archives.url("/hang"), None);
    let file = fetching(&http, &build);
    let cancel = format!("/apps/{APP}/builds/{}", build["id"].as_str().unwrap());
    let _ = http.api("DELETE", &cancel).with_status(200);
    let (status, said) = verdict(&http, &build);
    assert!(status == "failed" && said.contains("Build canceled"), "{status}\n{said}");
    assert!(!file.exists());

    let build = begin(&http, &archives.url("/hang"), None);
    let file = fetching(&http, &build);
    server.restart();
    let http = server.http();
    let (status, said) = verdict(&http, &build);
    assert!(status == "failed" && said.contains("interrupted by a restart"), "{status}\n{said}");
    assert!(!file.exists());
    let (status, said) = verdict(&http, &begin(&http, &archives.url("/app.tgz"), None));
    assert_eq!(status, "succeeded", "{said}");
}
