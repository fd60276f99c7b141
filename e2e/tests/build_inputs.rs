//! What a build takes in beside the pushed tree: submodules of this server, and what a buildpack's `bin/release` asks for.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use e2e::{Cli, Repo, Server, may_run};
use serde_json::{Value, json};

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

#[test]
fn what_bin_release_asks_for_counts_once_and_never_against_the_user() {
    if !may_run("what a buildpack asks for") {
        return;
    }
    let toy = Repo::of_files(&[
        ("bin/detect", "#!/bin/sh\necho Toy\n"),
        ("bin/compile", "#!/bin/sh\ntrue\n"),
        (
            "bin/release",
            "#!/bin/sh\necho 'config_vars:'\necho '  LANG: en_US.UTF-8'\necho '  MODE: toy'\necho '  HEROKU_X: no'\n\
             echo 'addons:'\necho '- heroku-postgresql'\n",
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
    assert!(first.contains("HEROKU_X is reserved"), "{first}");
    assert!(first.contains("add-ons, which are not built on this server yet: heroku-postgresql"), "{first}");
    assert_eq!(vars(&json!({})), json!({ "LANG": "de_DE.UTF-8", "MODE": "toy" }));
    let release = http.api("GET", "/apps/asked/releases").json();
    let newest =
        release.as_array().unwrap().iter().map(|one| one["version"].as_i64().unwrap()).max().unwrap();
    let snapshot =
        http.api("GET", &format!("/apps/asked/releases/{newest}/config-vars")).with_status(200).json();
    assert_eq!(snapshot["MODE"], "toy", "the release that runs has it");

    assert_eq!(vars(&json!({ "MODE": null })), json!({ "LANG": "de_DE.UTF-8" }));
    repo.commit("Again");
    let second = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    assert!(!second.contains("Config vars set") && !second.contains("add-ons"), "{second}");
    assert_eq!(vars(&json!({})), json!({ "LANG": "de_DE.UTF-8" }), "what was taken away stays away");
    server.answers("asked", "/");
}
