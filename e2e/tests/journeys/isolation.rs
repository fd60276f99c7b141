//! What a tenant tries from a dyno and from a build, and cannot do.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, run};
use serde_json::{Value, json};

/// A config var of the other app.
const SECRET: &str = "the-other-app-keeps-this-to-itself";

/// Where the other app's dyno listens, by its own account.
fn deploy_other(server: &Server, cli: &Cli) -> Value {
    let repo = Repo::of_app("probe");
    repo.write("package.json", "{}");
    repo.git(&["rm", "--quiet", "--cached", "package.json", "package-lock.json"]);
    fs::remove_file(repo.path().join("package.json")).unwrap();
    fs::remove_file(repo.path().join("package-lock.json")).unwrap();
    repo.commit("Only a Procfile");
    cli.heroku_in(repo.path(), &["create", "other"]).succeeded();
    cli.heroku_in(repo.path(), &["addons:create", "heroku-postgresql"]).succeeded();
    cli.heroku_in(repo.path(), &["config:set", &format!("SECRET={SECRET}")]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers("other", "/").json()
}

/// Where the other app's database is, and what its own dynos call it.
fn database_of_other(server: &Server) -> Value {
    let api = |path: &str| server.http().api("GET", path).with_status(200).json();
    let vars = api("/apps/other/config-vars");
    let url = vars["DATABASE_URL"].as_str().unwrap();
    let (_, at) = url.split_once('@').unwrap();
    let (address, rest) = at.split_once(':').unwrap();
    let (port, _) = rest.split_once('/').unwrap();
    let id = api("/apps/other/addons")[0]["id"].as_str().unwrap().to_owned();
    json!({ "at": [address, port], "name": format!("{id}.data.{}", server.domain()) })
}

/// The addresses of this machine that are not loopback.
fn host_addresses() -> Vec<String> {
    let mut command = Command::new("ip");
    command.args(["-oneline", "-4", "addr", "show", "scope", "global"]);
    let text = run(command, b"", Duration::from_secs(10)).succeeded().stdout;
    let address = |line: &str| Some(line.split_whitespace().nth(3)?.split('/').next()?.to_owned());
    text.lines().filter_map(address).collect()
}

/// Every probe was refused, none was left out, and the control shows a living network.
fn assert_refused(place: &str, said: &str) {
    let said = said.replace("remote: ", "");
    let possible: Vec<&str> =
        said.lines().filter(|line| line.contains("PROBE ") && line.contains(" possible ")).collect();
    assert!(possible.is_empty(), "possible from {place}:\n{}", possible.join("\n"));
    let refused = said.lines().filter(|line| line.contains("PROBE ") && line.contains(" refused")).count();
    assert!(refused >= 20 && said.contains("PROBES DONE"), "only {refused} probes ran in {place}:\n{said}");
    assert!(said.contains("CONTROL router reached"), "{place} cannot even reach the router:\n{said}");
}

#[test]
fn a_tenant_reaches_nothing_of_the_host_nor_of_others() {
    if !may_run("isolation") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let other = deploy_other(&server, &cli);
    // Something of the host listens on every address: only the rules keep dynos from it.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let private = [
        server.data().display().to_string(),
        server.data().join("cli-token").display().to_string(),
        cli.home().display().to_string(),
        "/root".to_owned(),
        "/etc/shadow".to_owned(),
        "/proc/kcore".to_owned(),
        "/dev/mem".to_owned(),
        "/dev/vda".to_owned(),
    ];
    let probe = json!({
        "private_paths": private,
        "secret": SECRET,
        "host_addresses": host_addresses(),
        "host_port": listener.local_addr().unwrap().port(),
        "other_dynos": [[other["address"], other["port"]]],
        "other_database": database_of_other(&server),
        "router_port": server.port(),
    });

    let repo = Repo::of_app("probe");
    repo.write("probe.json", &probe.to_string());
    repo.commit("What to try");
    cli.heroku_in(repo.path(), &["create", "curious"]).succeeded();
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    assert_refused("a build", &pushed.stderr);

    server.answers("curious", "/");
    let ran = cli.heroku_in(repo.path(), &["run", "--no-tty", "python3 probe.py"]).succeeded();
    assert_refused("a dyno", &ran.stdout);
}

#[test]
fn secrets_are_on_disk_and_in_process_lists_only_sealed() {
    if !may_run("secrets") {
        return;
    }
    let mut server = Server::start();
    let cli = Cli::new(&server);
    deploy_other(&server, &cli);
    server.announce("adopt");
    server.restart();
    server.answers("other", "/");
    assert_eq!(e2e::files_with(&server.data(), SECRET), "", "the secret lies in clear on disk");
    assert!(!server.log().contains(SECRET), "the secret is in the server's log");
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(SECRET), "the secret is in a command line");
    }
}
