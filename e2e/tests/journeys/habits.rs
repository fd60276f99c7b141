//! What people do on Heroku without thinking of it, each by the tool that they do it with.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::time::{Duration, Instant};

use e2e::{Cli, Repo, Server, may_run};
use serde_json::json;

const PROCFILE: &str = "web: python3 -m http.server $PORT\nconsole: echo CONSOLE\nrake: echo RAKE fixed\n";

#[test]
fn habits_of_herokus_users_work() {
    if !may_run("habits of Heroku's users") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("Procfile", PROCFILE)]);
    cli.heroku_in(repo.path(), &["create", "habits"]).succeeded();
    tags_deploy_their_commits(&server, &cli, &repo);
    config_keys_are_what_an_environment_can_hold(&server, &cli, &repo);
    process_types_are_run_by_name(&cli, &repo);
    logs_end_when_they_are_read(&cli, &repo);
    unknown_buildpacks_are_named(&cli, &repo);
    let below = cli.heroku_in(repo.path(), &["domains:add", "www.habits.paddock.localhost"]);
    let _ = below.failed_saying("the platform's own");
}

fn tags_deploy_their_commits(server: &Server, cli: &Cli, repo: &Repo) {
    let main = || cli.git(repo.path(), &["ls-remote", "heroku", "refs/heads/main"]).succeeded().stdout;
    // The first push of an app, for which git wants the whole name, then one onto what is there.
    for (tag, branch) in [("v1.0", "refs/heads/main"), ("v2.0", "main")] {
        let commit = repo.commit(tag);
        repo.git(&["tag", "--annotate", "--message", tag, tag]);
        let begun = Instant::now();
        let pushed = cli.git(repo.path(), &["push", "heroku", &format!("{tag}:{branch}")]).succeeded();
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", pushed.stderr);
        assert!(main().starts_with(&commit), "{}", main());
        let releases = server.http().api("GET", "/apps/habits/releases").with_status(200).json();
        let newest = releases.as_array().unwrap().iter().max_by_key(|one| one["version"].as_i64()).unwrap();
        let slug = format!("/apps/habits/slugs/{}", newest["slug"]["id"].as_str().unwrap());
        assert_eq!(server.http().api("GET", &slug).with_status(200).json()["commit"], commit.as_str());
    }
    let before = main();
    let refused = cli.git(repo.path(), &["push", "--force", "heroku", "HEAD^{tree}:main"]);
    let _ = refused.failed_saying("main can only name a commit");
    assert_eq!(main(), before);
    repo.commit("After a tag");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
}

fn config_keys_are_what_an_environment_can_hold(server: &Server, cli: &Cli, repo: &Repo) {
    let set =
        ["config:set", "spring.profiles.active=prod", "my-key=1", "HEROKU_API_KEY=x", "HEROKU_APP_NAME=mine"];
    cli.heroku_in(repo.path(), &set).succeeded();
    let odd = json!({ "a/b": "in no file", "9": "nine" });
    server.http().api_json("PATCH", "/apps/habits/config-vars", &odd).with_status(200);
    let keys = "['spring.profiles.active', 'my-key', 'HEROKU_API_KEY', 'HEROKU_APP_NAME', 'a/b', '9']";
    let program = format!("import os; print([os.environ[key] for key in {keys}])");
    let values = || {
        cli.heroku_in(repo.path(), &["run", "--no-tty", "--", "python3", "-c", &program]).succeeded().text()
    };
    let said = values();
    assert!(said.contains("['prod', '1', 'x', 'mine', 'in no file', 'nine']"), "{said}");
    // What the platform says of itself wins when it says it.
    cli.heroku_in(repo.path(), &["labs:enable", "runtime-dyno-metadata"]).succeeded();
    let said = values();
    assert!(said.contains("['prod', '1', 'x', 'habits', 'in no file', 'nine']"), "{said}");
    repo.commit("A build sees them, too");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
}

fn process_types_are_run_by_name(cli: &Cli, repo: &Repo) {
    for (words, said) in [
        (&["console"][..], "CONSOLE"),
        (&["rake", "db:migrate", "A=b"], "RAKE fixed db:migrate A=b"),
        (&["echo", "console"], "console"),
    ] {
        let command = [&["run", "--no-tty", "--exit-code", "--"][..], words].concat();
        let outcome = cli.heroku_in(repo.path(), &command).succeeded();
        assert_eq!(outcome.stdout.trim(), said, "{words:?}");
    }
}

fn logs_end_when_they_are_read(cli: &Cli, repo: &Repo) {
    let begun = Instant::now();
    let said = cli.heroku_in(repo.path(), &["logs", "--num", "5"]).succeeded().stdout;
    // The client waits three seconds by itself where nobody tells it otherwise.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(said.lines().count(), 5, "{said}");
}

fn unknown_buildpacks_are_named(cli: &Cli, repo: &Repo) {
    for command in ["buildpacks:set", "buildpacks:add"] {
        let refused = cli.heroku_in(repo.path(), &[command, "heroku/scala"]);
        let refused = refused.failed_saying("no buildpack of that name").text();
        assert!(refused.contains("heroku/python") && !refused.contains("missing field"), "{refused}");
    }
}
