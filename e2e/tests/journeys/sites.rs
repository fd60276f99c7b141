//! Static sites, as browsers and caches meet them.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::fs;

use e2e::{Answer, Cli, Repo, Server, may_run};

const JSON: &str = r#"{
    "root": "dist", "clean_urls": true, "error_page": "missing.html",
    "routes": { "/app/**": "index.html" },
    "redirects": { "/old": { "url": "/about", "status": 302 } },
    "headers": { "/assets/**": { "Cache-Control": "public, max-age=512000" } }
}"#;

fn push(cli: &Cli, repo: &Repo) -> String {
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr
}

fn location(answer: &Answer) -> &str {
    answer.header("location").unwrap_or_default()
}

#[test]
fn a_site_is_served_by_its_rules_and_nothing_else_of_it() {
    if !may_run("static sites") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let script = "function long() { return 'a line that is said again and again'; }\n".repeat(40);
    let repo = Repo::of_files(&[
        ("static.json", JSON),
        ("dist/index.html", "<h1>first page</h1>\n"),
        ("dist/about.html", "about us\n"),
        ("dist/missing.html", "not here\n"),
        ("dist/docs/index.html", "docs\n"),
        ("dist/assets/site.js", &script),
        ("dist/.env", "SECRET=1\n"),
        ("secret.txt", "not for visitors\n"),
    ]);
    std::os::unix::fs::symlink("../secret.txt", repo.path().join("dist/out.txt")).unwrap();
    repo.commit("A link that leads out");
    cli.heroku_in(repo.path(), &["create", "site-app"]).succeeded();
    let said = push(&cli, &repo);
    for words in [
        "Static HTML app detected",
        "Serving the folder dist",
        "Default types for buildpack -> web",
        "Released v3",
    ] {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
    let page = server.answers("site-app", "/");
    assert_eq!(page.body, "<h1>first page</h1>\n");
    assert_eq!(page.header("content-type"), Some("text/html; charset=UTF-8"));
    assert_eq!(server.get("site-app", "/about").with_status(200).body, "about us\n");
    assert_eq!(server.get("site-app", "/app/users/3").with_status(200).body, "<h1>first page</h1>\n");
    let answer = server.get("site-app", "/assets/site.js").with_status(200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=512000"));
    assert!(answer.header("etag").is_some() && answer.header("last-modified").is_some(), "{answer:?}");
    assert_eq!(location(&server.get("site-app", "/old").with_status(302)), "/about");
    assert_eq!(location(&server.get("site-app", "/docs").with_status(301)), "/docs/");
    for path in ["/none", "/.env", "/out.txt", "/static.json", "/%2e%2e/secret.txt", "/assets/"] {
        let answer = server.get("site-app", path);
        assert_eq!((answer.status, answer.body.as_str()), (404, "not here\n"), "{path}");
    }

    // The next page takes the place of the last: its tag is of what it says, not of its date.
    let before = page.header("etag").map(str::to_owned);
    repo.write("dist/index.html", "<h1>other page</h1>\n");
    repo.commit("Again");
    push(&cli, &repo);
    let after = server.answers("site-app", "/");
    assert_eq!(after.body, "<h1>other page</h1>\n");
    assert_ne!(after.header("etag").map(str::to_owned), before);
}

/// Memory of the processes of this name that nobody else has, in kilobytes.
fn private_kilobytes(command: &str) -> Vec<u64> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let ours = processes.filter(|process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").starts_with(command)
    });
    let private = |text: String| {
        let lines = text.lines().filter(|line| line.starts_with("Private_"));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
    };
    ours.filter_map(|process| fs::read_to_string(process.join("smaps_rollup")).ok()).map(private).collect()
}

#[test]
fn a_dyno_of_a_site_is_small_and_what_cannot_be_served_takes_nothings_place() {
    if !may_run("static sites") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("index.html", "plain\n")]);
    cli.heroku_in(repo.path(), &["create", "plain-site"]).succeeded();
    let said = push(&cli, &repo);
    assert!(said.contains("Serving the whole app"), "{said}");
    server.answers("plain-site", "/");
    let memory = private_kilobytes("/paddock/paddockd static-server /app");
    assert!(!memory.is_empty() && memory.iter().all(|one| *one < 10 * 1024), "{memory:?} kB");
    repo.write("static.json", r#"{"proxies": {"/api/": {"origin": "https://example.com"}}}"#);
    repo.commit("Proxies");
    cli.git(repo.path(), &["push", "heroku", "main"])
        .failed_saying("static.json has proxies, which this server does not serve");
    assert_eq!(server.get("plain-site", "/").with_status(200).body, "plain\n");
}
