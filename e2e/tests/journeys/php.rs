//! PHP from nothing to an answer, behind both web servers.

use std::process::Command;
use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, wait_until};

const INDEX: &str = "<?php require '../vendor/autoload.php'; error_log('told the log');\n\
    echo Acme\\Greet::SAYS, ' by ', php_sapi_name(), ' behind ', strtolower(strtok($_SERVER['SERVER_SOFTWARE'], '/')),\n\
    ' with ', getenv('WEB_CONCURRENCY'), extension_loaded('ctype') ? ' and ctype' : '', \"\\n\";\n";

/// Writes what Composer reads of an app that has `acme/greet` in a version, and its archive.
fn require(repo: &Repo, version: &str) {
    let dist = format!(r#"{{"type":"tar","url":"packages/greet-{version}.tar"}}"#);
    let package = format!(
        r#"{{"name":"acme/greet","version":"{version}","type":"library","dist":{dist},"autoload":{{"psr-4":{{"Acme\\":""}}}}}}"#
    );
    let json = format!(
        r#"{{"require":{{"php":"^8.0","acme/greet":"{version}"}},"repositories":[{{"packagist.org":false}},{{"type":"package","package":{package}}}]}}"#
    );
    repo.write("composer.json", &json);
    let lock = format!(
        r#"{{"packages":[{package}],"packages-dev":[],"platform":{{"php":"^8.0"}},"platform-dev":[],"content-hash":""}}"#
    );
    repo.write("composer.lock", &lock);
    repo.write(
        "packages/greet/Greet.php",
        &format!("<?php namespace Acme; class Greet {{ const SAYS = 'hello {version}'; }}\n"),
    );
    let packages = repo.path().join("packages");
    let archive = format!("greet-{version}.tar");
    let tar = Command::new("tar").args(["-cf", &archive, "greet"]).current_dir(packages).status();
    assert!(tar.expect("tar is installed").success());
}

fn push(cli: &Cli, repo: &Repo, words: &[&str]) -> String {
    repo.commit("A change");
    let said = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    for word in words {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
    said
}

fn answers(server: &Server, text: &str) {
    wait_until(&format!("{text:?}"), Duration::from_secs(60), || {
        server.get("php-app", "/").body.contains(text).then_some(())
    });
}

#[test]
fn php_answers_behind_apache_and_nginx_and_goes_back() {
    if !may_run("PHP") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[
        ("public/index.php", INDEX),
        ("public/style.css", "p {}\n"),
        ("Procfile", "web: heroku-php-apache2 public/\n"),
    ]);
    require(&repo, "1.0.0");
    cli.heroku_in(repo.path(), &["create", "php-app"]).succeeded();
    push(
        &cli,
        &repo,
        &[
            "PHP app detected",
            "Installing acme/greet (1.0.0)",
            "Procfile declares types -> web",
            "Released v3",
        ],
    );
    let body = server.answers("php-app", "/").body;
    assert_eq!(body, "hello 1.0.0 by fpm-fcgi behind apache with 4 and ctype\n");
    let style = server.get("php-app", "/style.css").with_status(200);
    assert!(style.header("content-type").is_some_and(|kind| kind.starts_with("text/css")), "{style:?}");
    let log = cli.heroku_in(repo.path(), &["logs", "-n", "200"]).succeeded().stdout;
    for line in [
        "DOCUMENT_ROOT changed to 'public/'",
        "Starting php-fpm with 4 workers...",
        "Starting httpd...",
        "told the log",
        "\"GET /style.css HTTP/1.1\" 200",
    ] {
        assert!(log.contains(line), "no {line:?} in\n{log}");
    }

    repo.write(
        "site.conf",
        "location / {\n  try_files $uri @app;\n}\nlocation @app {\n  rewrite ^ /index.php last;\n}\n",
    );
    repo.write("Procfile", "web: heroku-php-nginx -C site.conf public/\n");
    let said = push(&cli, &repo, &["No change in composer.lock detected", "Released v4"]);
    assert!(!said.contains("acme/greet"), "{said}");
    answers(&server, "hello 1.0.0 by fpm-fcgi behind nginx with 4 and ctype\n");
    assert!(server.get("php-app", "/any/page").with_status(200).body.contains("behind nginx"));

    require(&repo, "2.0.0");
    push(&cli, &repo, &["Installing acme/greet (2.0.0)", "Released v5"]);
    answers(&server, "hello 2.0.0 by fpm-fcgi behind nginx");

    cli.heroku_in(repo.path(), &["rollback", "v3"]).succeeded();
    answers(&server, "hello 1.0.0 by fpm-fcgi behind apache");
    cli.heroku_in(repo.path(), &["ps:stop", "web"]).succeeded();
    wait_until("an orderly end", Duration::from_secs(40), || {
        let log = cli.heroku_in(repo.path(), &["logs", "-n", "200"]).succeeded().stdout;
        log.contains("Shutdown complete.").then_some(())
    });
}
