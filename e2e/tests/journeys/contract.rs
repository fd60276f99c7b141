//! Lines of the buildpack contract that only a whole deploy shows; the mark says which.

use e2e::{Cli, Repo, Server, may_run};
use serde_json::json;

// buildpacks.md 6.3, 8.6, 11.1
#[test]
fn a_release_command_that_fails_leaves_the_push_accepted_and_the_release_before_serving() {
    if !may_run("release commands") {
        return;
    }
    let server = Server::start();
    let (cli, http) = (Cli::new(&server), server.http());
    let procfile =
        |line: &str| format!("web: python3 -m http.server $PORT\nworker: sleep 1000\nrelease: {line}\n");
    let repo = Repo::of_files(&[("Procfile", &procfile("echo first")), ("words", "first\n")]);
    cli.heroku_in(repo.path(), &["create", "phases"]).succeeded();
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    assert!(pushed.contains("Release command declared") && pushed.contains("first"), "{pushed}");
    assert_eq!(server.answers("phases", "/words").body, "first\n");
    let formation = http.api("GET", "/apps/phases/formation").json();
    let of = |name: &str| {
        let rows = formation.as_array().unwrap();
        rows.iter().find(|row| row["type"] == name).map(|row| row["quantity"].clone())
    };
    assert_eq!((of("web"), of("worker")), (Some(json!(1)), Some(json!(0))), "the first deploy");

    repo.write("Procfile", &procfile("echo broken && exit 3"));
    repo.write("words", "second\n");
    let second = repo.commit("Second");
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    assert!(pushed.contains("broken"), "{pushed}");
    let head = cli.git(repo.path(), &["ls-remote", "heroku", "refs/heads/main"]).succeeded().stdout;
    assert!(head.starts_with(&second), "the push was accepted: {head}");
    let releases = http.api("GET", "/apps/phases/releases").json();
    let newest = releases.as_array().unwrap().iter().max_by_key(|one| one["version"].as_i64()).unwrap();
    assert_eq!((&newest["status"], &newest["current"]), (&json!("failed"), &json!(false)));
    assert_eq!(server.answers("phases", "/words").body, "first\n", "what ran before goes on");
}
