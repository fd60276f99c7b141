//! What an app is told by a proxy in front of the server that the operator trusts, and by anybody else.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, run, wait_until};
use serde_json::Value;

const APP: &str = "fronted";
const PAGE: &str = "\
import http.server, json, os
class Told(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = json.dumps([self.headers.get('X-Forwarded-' + name) for name in ('For', 'Proto', 'Port')]).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(told)))
        self.end_headers()
        self.wfile.write(told)
http.server.ThreadingHTTPServer(('0.0.0.0', int(os.environ['PORT'])), Told).serve_forever()
";

/// What the app is told of a request that comes with these headers from loopback.
fn told(server: &Server, headers: &[&str]) -> Value {
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--noproxy", "*", "--header", &format!("Host: {}", server.host(APP))]);
    curl.args(headers.iter().flat_map(|header| ["--header", header]));
    curl.arg(format!("http://127.0.0.1:{}/", server.port()));
    serde_json::from_str(&run(curl, b"", Duration::from_secs(60)).succeeded().stdout).unwrap()
}

#[test]
fn an_app_behind_a_trusted_proxy_is_told_how_its_client_came() {
    if !may_run("a trusted proxy") {
        return;
    }
    let refused = Server::bare(&["serve", "--data", "/nowhere", "--trusted-proxy", "proxy.example"]);
    run(refused, b"", Duration::from_secs(30)).failed_saying("no network or address");
    let mut server = Server::start();
    server.announce("adopt");
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("Procfile", "web: python3 told.py\n"), ("told.py", PAGE)]);
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/");
    let sent =
        ["X-Forwarded-For: 203.0.113.9, 127.0.0.2", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443"];
    let port = server.port().to_string();
    assert_eq!(told(&server, &sent), serde_json::json!(["203.0.113.9, 127.0.0.2, 127.0.0.1", "http", port]));

    // The router goes on, and learns of it by its table.
    server.paddockd("stop", &[]).succeeded();
    server.set_arguments(&["--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "2001:db8::7"]);
    server.restart();
    wait_until("the router to hear of it", Duration::from_secs(30), || {
        (told(&server, &sent) == serde_json::json!(["203.0.113.9", "https", "443"])).then_some(())
    });
    assert_eq!(told(&server, &sent[..1]), serde_json::json!(["203.0.113.9", "http", port]));
}
