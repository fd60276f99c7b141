//! Apps as people write them, with dependencies from the package registries.

use std::process::Command;
use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, wait_until};

/// Creates an app and pushes the repository; gives what git said.
fn deploy(cli: &Cli, repo: &Repo, app: &str) -> String {
    cli.heroku_in(repo.path(), &["create", app]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr
}

/// Commits a change that leaves the dependencies alone and pushes it; gives what git said.
fn push_again(cli: &Cli, repo: &Repo, file: &str, text: &str) -> String {
    repo.write(file, text);
    repo.commit("Again");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
}

#[test]
fn django_with_gunicorn_serves_its_pages_and_its_static_files() {
    if !may_run("Django") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_app("django");
    let said = deploy(&cli, &repo, "django-app");
    assert_says(&said, &["Python app detected", "collectstatic", "Released v3"]);

    let page = server.answers("django-app", "/").body;
    assert_says(&page, &["Django 5.2.19 says hello", "/static/pages/style."]);
    // What Heroku's buildpack leaves for a dyno of the smallest size, and how it has gunicorn believe the router.
    assert_says(&page, &["DYNO_RAM=512", "WEB_CONCURRENCY=2", "WEB_CONCURRENCY_SET_BY=heroku/python"]);
    assert_says(&page, &["GUNICORN_CMD_ARGS=--access-logfile -", "This came over http."]);
    let over_tls = server.http().app_over_tls(&server.host("django-app"), "/").with_status(200);
    assert_says(&over_tls.body, &["This came over https."]);
    let style = page.split('"').find(|part| part.contains("/static/pages/style.")).unwrap();
    let answer = server.get("django-app", style).with_status(200);
    assert_says(&answer.body, &["rebeccapurple"]);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/css")), "{answer:?}");

    let said = push_again(&cli, &repo, "note.txt", "no new dependency\n");
    assert!(!said.contains("Downloading"), "an unchanged requirements.txt means no reinstall:\n{said}");
    server.answers("django-app", "/");
}

/// The index that this machine's own pip asks, as an operator or an app would name one. Poetry asks the public one for
/// more than an index has to have.
fn python_index() -> String {
    let ask = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
    let said =
        Command::new("/usr/bin/python3").args(["-c", ask]).output().expect("python3 and pip are installed");
    String::from_utf8(said.stdout).expect("an address is text").trim().to_owned() + "/"
}

/// The lock of `apps/poetry` with another version of one package, as Poetry writes it.
const OTHER_LOCK: [(&str, &str); 4] = [
    ("2.0.0", "2.1.0"),
    (
        "b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374",
        "9deba5723312380e77435581c6bf4935c94cbfab9b1ed33ef8d238ea168eb760",
    ),
    (
        "2d91e135bf72d31a410b17c16da610a82cb55f6b0477d1a902134b24a455b8b3",
        "3abbd2e30b36733fee78f9c7f7308f2d0050e88f0087fd25c2645f63c773e1c7",
    ),
    (
        "ebcda711c3d5bf3d3747e43485e5cc4c9856c00a02615746024a9bab39a93878",
        "ddc5fc7b968ba7d98193c2621ef1727b565c855dc975f4142d900b6ff3ea75aa",
    ),
];

#[test]
fn poetry_installs_what_its_lock_says_and_when_it_says_something_new() {
    if !may_run("Poetry") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_app("poetry");
    cli.heroku_in(repo.path(), &["create", "poetry-app"]).succeeded();
    cli.heroku_in(repo.path(), &["config:set", &format!("PIP_INDEX_URL={}", python_index())]).succeeded();
    let said = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    assert_says(&said, &["Python app detected", "Installing Poetry 2.4.1", "Installing iniconfig (2.0.0)"]);
    let page = server.answers("poetry-app", "/").json();
    assert_eq!(page["iniconfig"], "2.0.0", "{page}");
    assert_eq!(page["prefix"], "/app/.heroku/python", "{page}");
    assert_eq!(page["poetry"], false, "only builds have Poetry: {page}");

    let said = push_again(&cli, &repo, "note.txt", "no new dependency\n");
    assert_says(&said, &["No change in poetry.lock detected"]);
    assert!(
        !said.contains("Installing"),
        "an unchanged poetry.lock means that nothing is installed:\n{said}"
    );
    server.answers("poetry-app", "/");

    for name in ["pyproject.toml", "poetry.lock"] {
        let text = std::fs::read_to_string(repo.path().join(name)).expect("the app has it");
        let text = OTHER_LOCK.iter().fold(text, |text, (one, other)| text.replace(one, other));
        repo.write(name, &text);
    }
    let said = push_again(&cli, &repo, "note.txt", "a new dependency\n");
    assert_says(&said, &["The contents of poetry.lock changed", "Using cached Poetry", "iniconfig (2.1.0)"]);
    let page = server.answers("poetry-app", "/").json();
    assert_eq!(page["iniconfig"], "2.1.0", "{page}");
}

#[test]
fn express_is_built_and_pruned_and_answers() {
    if !may_run("Express") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_app("express");
    let said = deploy(&cli, &repo, "express-app");
    assert_says(&said, &["Node.js app detected", "postbuild ran", "Released v3"]);

    let page = server.answers("express-app", "/").json();
    assert_eq!((page["hello"].as_str(), page["pruned"].as_bool()), (Some("express"), Some(true)), "{page}");
    assert_eq!(page["workers"], "512 512 1 heroku/nodejs");
    assert_eq!(server.get("express-app", "/static/built.json").with_status(200).json()["built"], true);

    push_again(&cli, &repo, "note.txt", "no new dependency\n");
    server.answers("express-app", "/");
}

const GO_SERVER: &str = r#"package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello from Go") })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
"#;

#[test]
fn go_with_a_go_of_its_own_answers_and_is_quick_the_second_time() {
    if !may_run("Go") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("go.mod", "module example.com/hello\n\ngo 1.25\n"), ("main.go", GO_SERVER)]);
    let said = deploy(&cli, &repo, "go-app");
    assert_says(&said, &["Go app detected", "Installed go1.25.", "web: bin/hello", "Released v3"]);
    assert_eq!(server.answers("go-app", "/").body, "hello from Go\n");
    let said = push_again(&cli, &repo, "main.go", &GO_SERVER.replace("from Go", "again"));
    assert_says(&said, &["Using go1.25."]);
    assert!(!said.contains("internal/runtime/sys"), "the library is not compiled again:\n{said}");
    assert_eq!(server.answers("go-app", "/").body, "hello again\n");
}

const RUST_SERVER: &str = r#"use std::io::{Read, Write};

fn main() {
    let port = std::env::var("PORT").unwrap();
    let listener = std::net::TcpListener::bind(format!("0.0.0.0:{port}")).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\nhello from Rust\n");
    }
}
"#;

#[test]
fn rust_answers_and_what_is_built_is_what_was_pushed() {
    if !may_run("Rust") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let package = "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let lock = "version = 3\n\n[[package]]\nname = \"hello\"\nversion = \"0.1.0\"\n";
    let repo = Repo::of_files(&[("Cargo.toml", package), ("Cargo.lock", lock), ("src/main.rs", RUST_SERVER)]);
    let said = deploy(&cli, &repo, "rust-app");
    assert_says(&said, &["Rust app detected", "target/release/hello", "Released v3"]);
    assert_eq!(server.answers("rust-app", "/").body, "hello from Rust\n");
    let said = push_again(&cli, &repo, "src/main.rs", &RUST_SERVER.replace("from Rust", "once more"));
    assert_says(&said, &["as in the last build", "Compiling hello"]);
    assert_eq!(server.answers("rust-app", "/").body, "hello once more\n");
}

const ENGINES: &str = r#""engines":{"node":">=18"}"#;
const SERVER: &str = "const greet = require('greet');\n\
    require('http').createServer((_, response) => response.end(greet())).listen(process.env.PORT, '0.0.0.0');\n";
const GREET: &str =
    "const ms = require('ms');\nmodule.exports = () => 'hello from a workspace ' + ms('2d');\n";
/// Of both versions of `ms` that the journey locks.
const MS_2: &str =
    "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==";
const MS_1: &str =
    "sha512-Tpp60P6IUJDTuOq/5Z8cdskzJujfwqfOTkrwIwj7IRISpnkJnT6SyJ4PCPnGMoFjC9ddhal5KVIYtAt97ix05A==";

/// The packages of an app with one workspace, which wants `ms` in a version.
fn workspace_files(root: &str, version: &str) -> Vec<(String, String)> {
    let file = |name: &str, text: String| (name.to_owned(), text);
    let greet = format!(
        r#"{{"name":"greet","version":"1.0.0","main":"index.js","dependencies":{{"ms":"{version}"}}}}"#
    );
    vec![
        file("package.json", root.to_owned()),
        file("server.js", SERVER.to_owned()),
        file("packages/greet/package.json", greet),
        file("packages/greet/index.js", GREET.to_owned()),
    ]
}

/// Pushes, pushes other code, then another lock file, which alone is installed.
fn deploys_once_for_each_lock(
    cli: &Cli,
    server: &Server,
    app: &str,
    lock: &str,
    files: [Vec<(String, String)>; 2],
) {
    let [first, other] = files;
    let files: Vec<_> = first.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let repo = Repo::of_files(&files);
    let said = deploy(cli, &repo, app);
    assert_says(&said, &["Node.js app detected", lock, "Released v3"]);
    assert_eq!(server.answers(app, "/").body, "hello from a workspace 172800000");

    let not_again = format!("No change in {lock} detected: node_modules is not installed again");
    let said = push_again(cli, &repo, "packages/greet/index.js", &GREET.replace("hello", "hello again"));
    assert_says(&said, &[&not_again, "Released v4"]);
    e2e::wait_until("the other code", std::time::Duration::from_secs(60), || {
        (server.get(app, "/").body == "hello again from a workspace 172800000").then_some(())
    });

    for (name, text) in &other {
        repo.write(name, text);
    }
    repo.commit("Another lock");
    let said = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    assert!(!said.contains(&not_again), "another lock file is installed:\n{said}");
    assert_says(&said, &["Installing dependencies", "Released v5"]);
    e2e::wait_until("the other packages", std::time::Duration::from_secs(60), || {
        (server.get(app, "/").body == "hello from a workspace 172800000").then_some(())
    });
}

#[test]
fn workspaces_of_yarn_and_of_pnpm_are_installed_once_for_each_lock() {
    if !may_run("Yarn and pnpm") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let versions = [("2.1.3", MS_2), ("2.0.0", MS_1)];
    let yarn = versions.map(|(version, integrity)| {
        let root = format!(
            r#"{{"name":"shop","version":"1.0.0","private":true,{ENGINES},"workspaces":["packages/*"],"scripts":{{"start":"node server.js"}}}}"#
        );
        let lock = format!("# yarn lockfile v1\n\n\nms@{version}:\n  version \"{version}\"\n  integrity {integrity}\n");
        let mut files = workspace_files(&root, version);
        files.push(("yarn.lock".to_owned(), lock));
        files
    });
    deploys_once_for_each_lock(&cli, &server, "by-yarn", "yarn.lock", yarn);
    let pnpm = versions.map(|(version, integrity)| {
        let root = format!(
            r#"{{"name":"shop","version":"1.0.0","private":true,{ENGINES},"packageManager":"pnpm@10.12.1","dependencies":{{"greet":"workspace:*"}},"scripts":{{"start":"node server.js"}}}}"#
        );
        let lock = format!(
            "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n\nimporters:\n\n\
             \x20 .:\n    dependencies:\n      greet:\n        specifier: workspace:*\n        version: link:packages/greet\n\n\
             \x20 packages/greet:\n    dependencies:\n      ms:\n        specifier: {version}\n        version: {version}\n\n\
             packages:\n\n  ms@{version}:\n    resolution: {{integrity: {integrity}}}\n\nsnapshots:\n\n  ms@{version}: {{}}\n"
        );
        let mut files = workspace_files(&root, version);
        files.push(("pnpm-lock.yaml".to_owned(), lock));
        files.push(("pnpm-workspace.yaml".to_owned(), "packages:\n  - packages/*\n".to_owned()));
        files
    });
    deploys_once_for_each_lock(&cli, &server, "by-pnpm", "pnpm-lock.yaml", pnpm);
}

const RUBY_SERVER: &str = "require 'greet'\nrequire 'socket'\nserver = TCPServer.new('0.0.0.0', ENV.fetch('PORT'))\nloop do\n  \
    client = server.accept\n  while (line = client.gets) && line != \"\\r\\n\" do end\n  body = Greet.hello\n  \
    client.write \"HTTP/1.1 200 OK\\r\\nContent-Length: #{body.bytesize}\\r\\nConnection: close\\r\\n\\r\\n#{body}\"\n  client.close\nend\n";

/// Puts a gem into the repository, as `bundle package` does, and the lock file that names it.
fn vendor_gem(repo: &Repo, version: &str) {
    let gem = tempfile::tempdir().expect("there is room");
    std::fs::create_dir(gem.path().join("lib")).expect("it is new");
    let code = format!("module Greet\n  def self.hello = 'hello from greet {version}'\nend\n");
    std::fs::write(gem.path().join("lib/greet.rb"), code).expect("there is room");
    let spec = format!(
        "Gem::Specification.new('greet', '{version}') {{ |s| s.summary = s.authors = 'x'; s.files = ['lib/greet.rb'] }}\n"
    );
    std::fs::write(gem.path().join("greet.gemspec"), spec).expect("there is room");
    let cache = repo.path().join("vendor/cache");
    std::fs::create_dir_all(&cache).expect("there is room");
    let to = cache.join(format!("greet-{version}.gem"));
    let mut build = Command::new("gem");
    build.args(["build", "greet.gemspec", "--force", "--output"]).arg(to).current_dir(gem.path());
    assert!(build.output().expect("gem is installed").status.success());
    let lock = "GEM\n  remote: https://rubygems.org/\n  specs:\n    greet (VERSION)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  greet\n";
    repo.write("Gemfile.lock", &lock.replace("VERSION", version));
}

#[test]
fn ruby_installs_its_gems_once_and_when_the_lock_file_changes_and_goes_back() {
    if !may_run("Ruby") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[
        ("Gemfile", "source \"https://rubygems.org\"\ngem \"greet\"\n"),
        ("server.rb", RUBY_SERVER),
        ("Procfile", "web: bundle exec ruby server.rb\n"),
    ]);
    vendor_gem(&repo, "1.0.0");
    repo.commit("Gems");
    let said = deploy(&cli, &repo, "ruby-app");
    assert_says(
        &said,
        &["Ruby app detected", "Using Ruby version: ruby-", "Installing greet 1.0.0", "console, rake"],
    );
    assert_eq!(server.answers("ruby-app", "/").body, "hello from greet 1.0.0");

    let said = push_again(&cli, &repo, "note.txt", "no new gem\n");
    assert_says(&said, &["Using greet 1.0.0"]);
    assert!(!said.contains("Installing greet"), "{said}");

    vendor_gem(&repo, "1.1.0");
    let said = push_again(&cli, &repo, "note.txt", "a new gem\n");
    assert_says(&said, &["Installing greet 1.1.0"]);
    let answers = |text: &str| (server.answers("ruby-app", "/").body == text).then_some(());
    wait_until("the gem of the new lock file", Duration::from_secs(30), || answers("hello from greet 1.1.0"));
    cli.heroku_in(repo.path(), &["rollback"]).succeeded();
    let before = "hello from greet 1.0.0";
    wait_until("the gems of the release before", Duration::from_secs(30), || answers(before));
    let console =
        cli.heroku_in(repo.path(), &["run", "--", "ruby", "-e", "require 'greet'; puts Greet.hello"]);
    assert!(console.succeeded().stdout.contains(before));
}
