//! What a build takes in beside the pushed tree: submodules of this server, and what a buildpack's `bin/release` asks for.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{Cli, Machine, Repo, Server, may_run, run};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROCFILE: &str = "web: python3 -m http.server $PORT\n";

/// A commit whose tree has a submodule at `vendor/lib`.
fn with_submodule(repo: &Repo, url: &str, commit: &str) {
    let modules = format!("[submodule \"any name\"]\n\tpath = vendor/lib\n\turl = {url}\n");
    repo.write(".gitmodules", &modules);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},vendor/lib")]);
    repo.git(&["add", ".gitmodules"]);
    repo.git(&["commit", "--quiet", "--message", url]);
}

#[test]
fn a_relative_submodule_is_an_app_of_this_server_that_the_pusher_may_see() {
    if !may_run("relative submodules") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let http = server.http();
    let library = Repo::of_files(&[("Procfile", PROCFILE), ("words", "from the library\n")]);
    let at = library.head();
    cli.heroku_in(library.path(), &["create", "library"]).succeeded();
    // A branch that is not deployed is enough: what counts is the repository.
    cli.git(library.path(), &["push", "heroku", "main:stored"]).succeeded();

    let repo = Repo::of_files(&[("Procfile", PROCFILE), ("own", "of the app\n")]);
    cli.heroku_in(repo.path(), &["create", "composed"]).succeeded();
    with_submodule(&repo, "../library.git", &at);
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    assert!(
        pushed.stderr.contains("Submodule vendor/lib from library, an app of this server"),
        "{}",
        pushed.stderr
    );
    assert!(server.answers("composed", "/vendor/lib/words").body.contains("from the library"));
    server.answers("composed", "/own");

    let good = repo.head();
    for (url, commit, words) in [
        ("../library.git", "1111111111111111111111111111111111111111", "push that commit to library first"),
        ("../nobodys.git", at.as_str(), "there is no app nobodys on this server that you may see"),
        ("../../library.git", at.as_str(), "a relative address must be ../NAME.git"),
        ("./library.git", at.as_str(), "a relative address must be ../NAME.git"),
        ("http://127.0.0.1:1/library.git", at.as_str(), "only https:// URLs are supported for submodules"),
        ("https://127.0.0.1:1/library.git", at.as_str(), "could not be fetched at"),
    ] {
        with_submodule(&repo, url, commit);
        cli.git(repo.path(), &["push", "heroku", "main"]).failed_saying(words).saying("Push failed");
        repo.git(&["reset", "--quiet", "--hard", &good]);
    }
    let builds = http.api("GET", "/apps/composed/builds").with_status(200).json();
    assert_eq!(builds.as_array().unwrap().iter().filter(|build| build["status"] == "succeeded").count(), 1);
    server.answers("composed", "/vendor/lib/words");
}

/// A server of git repositories by https, as plain files: prints its port. Its folder has `cert.pem` and `key.pem`.
const REPOSITORIES: &str = r#"
import functools, http.server, ssl, sys
folder, address = sys.argv[1:]
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer((address, 0), functools.partial(Handler, directory=folder))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// Repositories on another machine, whose certificate no machine trusts by itself.
struct Repositories {
    program: Child,
    machine: Machine,
    folder: TempDir,
    port: u16,
}

impl Repositories {
    fn start() -> Repositories {
        let (machine, folder) =
            (Machine::connected(), TempDir::with_prefix("paddock-repositories-").unwrap());
        // Builds read the certificate as users of their own.
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let address = machine.address_there();
        let mut openssl = Command::new("openssl");
        openssl.current_dir(folder.path()).args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=repositories"]);
        openssl.args([
            "-addext",
            &format!("subjectAltName=IP:{address}"),
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ]);
        run(openssl, b"", Duration::from_secs(30)).succeeded();
        let (mut program, line) = machine.there(|| {
            let mut python = Command::new("python3");
            python.args(["-c", REPOSITORIES]).arg(folder.path()).arg(address.to_string());
            let mut program = python.stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
            (program, line)
        });
        let Ok(port) = line.trim().parse() else {
            let _ = program.kill();
            panic!("the repositories' server does not start")
        };
        Repositories { program, machine, folder, port }
    }

    /// The certificate that builds are to trust.
    fn certificate(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// Puts a repository there; its address.
    fn add(&self, name: &str, repo: &Path) -> String {
        let bare = self.folder.path().join(name);
        for arguments in [&["clone", "--quiet", "--bare", "."][..], &["update-server-info"]] {
            let mut git = Command::new("git");
            if arguments[0] == "clone" {
                git.current_dir(repo).args(arguments).arg(&bare);
            } else {
                git.current_dir(&bare).args(arguments);
            }
            run(git, b"", Duration::from_secs(30)).succeeded();
        }
        format!("https://{}:{}/{name}", self.machine.address_there(), self.port)
    }
}

impl Drop for Repositories {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn an_https_submodule_is_fetched_by_the_build_where_builds_may_go() {
    if !may_run("submodules by https") {
        return;
    }
    let repositories = Repositories::start();
    let inner = Repo::of_files(&[("words", "from the library's own submodule\n")]);
    let inner_url = repositories.add("inner.git", inner.path());
    let library = Repo::of_files(&[("words", "from the library\n")]);
    with_submodule(&library, &inner_url, &inner.head());
    let url = repositories.add("library.git", library.path());

    let (certificate, folder) =
        (repositories.certificate(), repositories.folder.path().display().to_string());
    let address = repositories.machine.address_there();
    let network = format!("{address}/32");
    let trusted = format!("GIT_SSL_CAINFO={certificate}");
    let direct = ["NO_PROXY", "no_proxy"].map(|name| format!("{name}={address}"));
    let trusting = ["env", &trusted, &direct[0], &direct[1]];
    // The folder shows the certificate to builds.
    let mut server = Server::start_under(
        &trusting,
        &["--allow-egress", &network, "--allow-insecure-buildpack-urls", "--buildpack-folder", &folder],
    );
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("Procfile", PROCFILE), ("own", "of the app\n")]);
    cli.heroku_in(repo.path(), &["create", "composed"]).succeeded();
    // What may be secret in the address is told to nobody.
    with_submodule(&repo, &url.replace("https://", "https://user:sesame@"), &library.head());
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().text();
    assert!(pushed.contains("Fetching submodules") && pushed.contains("vendor/lib"), "{pushed}");
    assert!(!(pushed + &server.log()).contains("sesame"));
    assert!(server.answers("composed", "/vendor/lib/words").body.contains("from the library"));
    let nested = server.answers("composed", "/vendor/lib/vendor/lib/words").body;
    assert!(nested.contains("from the library's own submodule"), "{nested}");
    for left in ["/.gitmodules", "/vendor/lib/.git", "/vendor/lib/vendor/lib/.git"] {
        let _ = server.get("composed", left).with_status(404);
    }

    let good = repo.head();
    let refused = |url: &str, commit: &str| {
        with_submodule(&repo, url, commit);
        let pushed = cli.git(repo.path(), &["push", "heroku", "main"]);
        pushed.failed_saying("Submodule vendor/lib could not be fetched at").saying("Push failed");
        repo.git(&["reset", "--quiet", "--hard", &good]);
    };
    // Another commit, a repository that is not there, and an address that builds may not go to.
    refused(&url, "1111111111111111111111111111111111111111");
    refused(&url.replace("library", "nobodys"), &library.head());
    server.set_arguments(&["--allow-insecure-buildpack-urls", "--buildpack-folder", &folder]);
    server.restart();
    refused(&url, &library.head());
    assert!(server.answers("composed", "/vendor/lib/words").body.contains("from the library"));
}

// buildpacks.md 4.3, 5.4
#[test]
fn what_bin_release_asks_for_counts_once_and_never_against_the_user() {
    if !may_run("what a buildpack asks for") {
        return;
    }
    let toy = Repo::of_files(&[
        ("bin/detect", "#!/bin/sh\necho Toy\n"),
        ("bin/compile", "#!/bin/sh\necho \"seen: $(ls \"$3\" | tr '\\n' ' ')\"\n"),
        (
            "bin/release",
            "#!/bin/sh\necho 'config_vars:'\necho '  LANG: en_US.UTF-8'\necho '  MODE: toy'\necho '  A=B: no'\n\
             echo 'addons:'\necho '- heroku-postgresql'\necho '- papertrail:choklad'\n",
        ),
    ]);
    // Builds read it as users of their own.
    fs::set_permissions(toy.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let folder = toy.path().display().to_string();
    let server = Server::start_with(&["--allow-insecure-buildpack-urls", "--buildpack-folder", &folder]);
    let (cli, http) = (Cli::new(&server), server.http());
    let repo = Repo::of_files(&[("Procfile", PROCFILE)]);
    cli.heroku_in(repo.path(), &["create", "asked"]).succeeded();
    cli.heroku_in(repo.path(), &["buildpacks:set", &format!("file://{folder}")]).succeeded();
    let vars = |changes: &Value| {
        let answer = http.api_json("PATCH", "/apps/asked/config-vars", changes);
        answer.with_status(200).json()
    };
    vars(&json!({ "LANG": "de_DE.UTF-8" }));
    let first = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    assert!(first.contains("Config vars set by the buildpack: MODE"), "{first}");
    assert!(first.contains("Config var \"A=B\" is invalid"), "{first}");
    assert!(first.contains("Created postgresql-"), "{first}");
    assert!(first.contains("Not made, as the buildpack asks for it: papertrail:choklad"), "{first}");
    let all = vars(&json!({}));
    let url = all["DATABASE_URL"].as_str().unwrap().to_owned();
    assert!(url.starts_with("postgres://"), "{all}");
    let with = |user: &Value| {
        let mut with = user.clone();
        with["DATABASE_URL"] = json!(url);
        with
    };
    assert_eq!(all, with(&json!({ "LANG": "de_DE.UTF-8", "MODE": "toy" })));
    let release = http.api("GET", "/apps/asked/releases").json();
    let newest =
        release.as_array().unwrap().iter().map(|one| one["version"].as_i64().unwrap()).max().unwrap();
    let snapshot =
        http.api("GET", &format!("/apps/asked/releases/{newest}/config-vars")).with_status(200).json();
    assert_eq!(
        (&snapshot["MODE"], &snapshot["DATABASE_URL"]),
        (&json!("toy"), &json!(url)),
        "what runs has it"
    );

    assert_eq!(vars(&json!({ "MODE": null })), with(&json!({ "LANG": "de_DE.UTF-8" })));
    repo.commit("Again");
    let second = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    assert!(
        second.contains("seen: DATABASE_URL LANG"),
        "what an add-on sets is a config var as others: {second}"
    );
    assert!(!second.contains("Config vars set") && !second.contains("Created"), "{second}");
    assert_eq!(vars(&json!({})), with(&json!({ "LANG": "de_DE.UTF-8" })), "what was taken away stays away");
    server.answers("asked", "/");
}

#[test]
fn a_commit_that_was_built_before_is_released_at_once() {
    if !may_run("a commit that was built before") {
        return;
    }
    let server = Server::start();
    let (cli, http) = (Cli::new(&server), server.http());
    let repo = Repo::of_files(&[("Procfile", PROCFILE), ("words", "first\n")]);
    let first = repo.head();
    cli.heroku_in(repo.path(), &["create", "again"]).succeeded();
    let push = |what: &str| cli.git(repo.path(), &["push", "--force", "heroku", what]).succeeded().stderr;
    push("main");
    repo.write("words", "second\n");
    let second = repo.commit("Second");
    push("main");
    server.answers("again", "/words");

    let back = push(&format!("{first}:main"));
    assert!(back.contains(&format!("Commit {} was built before for v3", &first[..8])), "{back}");
    assert!(back.contains("Released v5") && !back.contains("Compressing..."), "{back}");
    assert_eq!(server.answers("again", "/words").body, "first\n");
    let builds = http.api("GET", "/apps/again/builds").json();
    assert_eq!((&builds[0]["slug"], &builds[0]["status"]), (&builds[2]["slug"], &builds[2]["status"]));

    // A build sees config vars: with others it is another.
    http.api_json("PATCH", "/apps/again/config-vars", &json!({ "GREETING": "hello" })).with_status(200);
    let built = push(&format!("{second}:main"));
    assert!(!built.contains("was built before") && built.contains("Released v7"), "{built}");
    http.api("DELETE", "/apps/again/build-cache").with_status(202);
    http.api_json("PATCH", "/apps/again/config-vars", &json!({ "GREETING": null })).with_status(200);
    let built = push(&format!("{first}:main"));
    assert!(!built.contains("was built before"), "{built}");
    assert_eq!(server.answers("again", "/words").body, "first\n");
}

#[test]
fn two_builds_of_an_app_are_told_apart() {
    if !may_run("records of builds") {
        return;
    }
    let server = Server::start();
    let (cli, http) = (Cli::new(&server), server.http());
    let repo = Repo::of_files(&[("Procfile", PROCFILE), ("words", "first\n")]);
    cli.heroku_in(repo.path(), &["create", "apart"]).succeeded();
    http.api_json("PATCH", "/apps/apart/config-vars", &json!({ "TOKEN": "secret-one", "SAME": "x" }))
        .with_status(200);
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    http.api_json("PATCH", "/apps/apart/config-vars", &json!({ "TOKEN": "secret-two" })).with_status(200);
    repo.write("requirements.lock", "x\n");
    let second = repo.commit("Second");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    repo.write("package.json", "{");
    repo.commit("Broken");
    cli.git(repo.path(), &["push", "heroku", "main"]).failed_saying("package.json is not valid JSON");

    let builds = http.api("GET", "/apps/apart/builds").json();
    let ids: Vec<_> = builds.as_array().unwrap().iter().map(|build| build["id"].as_str().unwrap()).collect();
    let of = |id: &str, rest: &str| format!("/apps/apart/builds/{id}/{rest}");
    let record = http.api("GET", &of(ids[1], "record")).with_status(200);
    assert!(!record.body.contains("secret-two"), "{}", record.body);
    let record = record.json();
    let value = |kind: &str, name: &str| {
        let facts = record["facts"].as_array().unwrap();
        let found = facts.iter().find(|fact| fact["kind"] == kind && fact["name"] == name);
        found.unwrap_or_else(|| panic!("{kind} {name} is not in {record}"))["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(value("source", "commit"), second);
    assert!(value("buildpack", "1. heroku/procfile").starts_with("built-in "));
    let slug =
        http.api("GET", &format!("/apps/apart/slugs/{}", builds[1]["slug"]["id"].as_str().unwrap())).json();
    let checksum = slug["checksum"].as_str().unwrap().strip_prefix("SHA256:").unwrap().to_owned();
    assert!(value("made", "layer of slug").ends_with(&checksum), "{record}");

    let beside = of(ids[1], &format!("explain?compare={}", ids[0]));
    let text = http.api_with("GET", &beside, &["Accept: text/plain"], None).with_status(200).body;
    for line in ["config TOKEN: its value is another", "source commit: ", "made layer of slug: "] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("SAME") && !text.contains("secret"), "{text}");
    let failed = http.api("GET", &of(ids[2], "record")).with_status(200).json();
    assert_eq!((&failed["status"], &failed["failure"]), (&json!("failed"), &json!("compile")));
}
