//! The proxy form: what works by it alone, and who may not use it.

use std::time::Duration;

use e2e::{Cli, Machine, Repo, Server, Transcript, may_run, wait_until};
use serde_json::json;

const APP: &str = "proxied";

/// Asks the proxy at the router's addresses for a tunnel, from inside a dyno, and prints what it answers.
const PROBE: &str = r#"python3 -c '
import socket, struct
gateway = next(line.split()[2] for line in open("/proc/net/route") if line.split()[1] == "00000000")
gateway = socket.inet_ntoa(struct.pack("<L", int(gateway, 16)))
for address in [gateway] + ADDRESSES:
    s = socket.create_connection((address, PORT), timeout=10)
    s.sendall(b"CONNECT api.paddock.herokudev.com:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = b""
    while chunk := s.recv(4096):
        answer += chunk
    print("PROXY", answer.split(b"\r\n")[0].decode(), answer.split(b"\r\n\r\n")[-1].decode().strip())
'"#;

fn probe(server: &Server, addresses: &[String]) -> String {
    PROBE.replace("ADDRESSES", &format!("{addresses:?}")).replace("PORT", &server.port().to_string())
}

#[test]
fn favorites_git_logs_and_run_work_through_the_proxy_on_loopback() {
    if !may_run("the proxy form on loopback") {
        return;
    }
    let server = Server::start();
    let cli = Cli::through_proxy(&server).starting_anew();
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["auth:whoami"]).succeeded().saying("admin@paddock.localhost");
    cli.heroku_in(repo.path(), &["create", APP])
        .succeeded()
        .saying("https://git.paddock.herokudev.com/proxied.git");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/");
    let info = cli.heroku(&["apps:info", "--app", APP]).succeeded();
    let _ = info.saying("https://git.paddock.herokudev.com/proxied.git");

    let mut transcript = Transcript::begin("favorites", &server, &cli);
    let mut say = |arguments: &[&str]| transcript.say(cli.heroku(arguments));
    let listed = || server.http().api("GET", "/favorites").with_status(200).json();
    assert_eq!(listed(), json!([]));
    let _ = say(&["apps:favorites:add", "--app", APP]).succeeded();
    let _ = say(&["apps:favorites"]).succeeded();
    assert_eq!(listed()[0]["resource_name"], APP);
    let _ = say(&["apps:favorites:add", "--app", APP]).failed_saying("is already a favorite");
    let _ = say(&["apps:favorites:remove", "--app", APP]).succeeded();
    assert_eq!(listed(), json!([]));
    transcript.finish();
    let _ = cli.heroku(&["apps:favorites:add", "--app", "nobodys"]).failed_saying("Adding nobodys");

    // Streams and attached dynos go past the proxy, to the server's own address.
    let tail = cli.follow(&["logs", "--tail", "--app", APP]);
    server.get(APP, "/through-the-proxy").with_status(200);
    tail.wait_for("path=\"/through-the-proxy\"", Duration::from_secs(60));
    let said =
        cli.heroku(&["run", "--exit-code", "--app", APP, "--", &probe(&server, &[])]).succeeded().text();
    assert!(said.contains("PROXY HTTP/1.1 403 Forbidden The proxy form is not for dynos"), "{said}");

    // What is not built says so.
    let _ = cli.heroku(&["ps:autoscale:disable", "--app", APP]).failed_saying("not built");
    assert!(
        cli.heroku(&["notifications", "--app", APP]).succeeded().text().contains("No unread notifications")
    );
}

#[test]
fn other_machines_use_the_proxy_only_where_it_is_switched_on() {
    if !may_run("the proxy form and other machines") {
        return;
    }
    let server = Server::start();
    let refused = server.paddockd("env", &["--proxy", "--address", "192.0.2.1"]);
    let _ = refused.failed_saying("--proxy-form");
    let refused = server.paddockd("env", &["--proxy", "--address", "somewhere"]);
    let _ = refused.failed_saying("is not an address");

    let everywhere = Server::start_for_other_machines();
    let machine = Machine::connected();
    let address = machine.address_here().to_string();
    // Whose machine that is nobody said.
    let elsewhere = everywhere.paddockd("env", &["--proxy", "--address", &address]).succeeded();
    assert!(
        !elsewhere.stdout.contains("HRKU-") && elsewhere.stdout.contains("HTTPS_PROXY"),
        "{}",
        elsewhere.stdout
    );
    let _ = elsewhere.saying("heroku login --interactive");
    assert!(everywhere.variables(&["--proxy"]).contains_key("HEROKU_API_KEY"), "this is the server's own");
    let cli = Cli::on_machine(&everywhere, machine);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    everywhere.answers(APP, "/");
    // By the bridge and by any other address of the server, a dyno is refused.
    let probe = probe(&everywhere, &[address]);
    let said = cli.heroku(&["run", "--exit-code", "--app", APP, "--", &probe]).text();
    assert!(said.contains("PROXY HTTP/1.1 403 Forbidden The proxy form is not for dynos"), "{said}");
    assert!(!said.contains("PROXY HTTP/1.1 200"), "{said}");
    wait_until("the dyno to be gone", Duration::from_secs(60), || {
        everywhere.dynos(APP).iter().all(|dyno| !dyno.0.starts_with("run.")).then_some(())
    });
}
