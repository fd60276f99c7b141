//! Apps as people write them, with dependencies from the package registries.

use std::process::Command;

use e2e::{Cli, Repo, Server, may_run};

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
