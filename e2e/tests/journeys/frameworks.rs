//! Apps as people write them, with dependencies from the package registries.

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
