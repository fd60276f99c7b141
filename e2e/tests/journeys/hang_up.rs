//! The client of an attached one-off dyno goes away: SIGHUP, and R16 for a program that does not care.

use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, wait_until};

const APP: &str = "attended";
const SIGHUP_LINE: &str = "]: Client connection closed. Sending SIGHUP to all processes";
const R16_LINE: &str = "]: Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external \
                        connection was closed.";

fn deployed() -> (Server, Cli, Repo) {
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("Procfile", "clock: sleep 1000\n")]);
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    (server, cli, repo)
}

/// Runs a command until it says `ready`, and kills its client.
fn run_and_leave(cli: &Cli, command: &str) {
    let session = cli.follow(&["run", "--app", APP, "--", command]);
    // With its newline: the client repeats the command before it is attached.
    session.wait_for("ready\n", Duration::from_secs(30));
}

fn log(cli: &Cli, repo: &Repo) -> String {
    cli.heroku_in(repo.path(), &["logs", "-n", "100"]).succeeded().stdout
}

fn wait_for_line(cli: &Cli, repo: &Repo, line: &str) -> String {
    let mut said = String::new();
    wait_until(&format!("{line:?} in the log"), Duration::from_secs(60), || {
        said = log(cli, repo);
        said.contains(line).then_some(())
    });
    said
}

#[test]
fn a_program_whose_client_is_killed_sees_sighup_and_ends() {
    if !may_run("SIGHUP") {
        return;
    }
    let (server, cli, repo) = deployed();
    run_and_leave(&cli, "trap 'exit 7' HUP; echo ready; while :; do sleep 1000 & wait; done");
    let said = wait_for_line(&cli, &repo, "State changed from up to complete");
    assert_eq!(said.matches(SIGHUP_LINE).count(), 1, "{said}");
    assert!(said.contains("]: Process exited with status 7"), "{said}");
    assert!(!said.contains("SIGTERM") && !said.contains("R16"), "{said}");
    assert!(server.dynos(APP).is_empty());
}

#[test]
fn a_program_that_ignores_sighup_is_told_detached_once_although_the_server_is_killed_meanwhile() {
    if !may_run("SIGHUP that is ignored") {
        return;
    }
    let (mut server, cli, repo) = deployed();
    for words in ["adopt", "interrupted", "router"] {
        server.announce(words);
    }
    run_and_leave(&cli, "trap '' HUP; echo ready; while :; do sleep 1; done");
    wait_for_line(&cli, &repo, SIGHUP_LINE);
    server.restart();
    let said = wait_for_line(&cli, &repo, R16_LINE);
    // A kill between a signal and its count has it sent again; left out is none.
    assert!((3..=4).contains(&said.matches(SIGHUP_LINE).count()), "{said}");
    let dynos = server.dynos(APP);
    let [(name, state, _)] = dynos.as_slice() else { panic!("{dynos:?}") };
    assert_eq!(state, "up", "it may go on, as on Heroku");
    server.restart();
    cli.heroku_in(repo.path(), &["ps:stop", name]).succeeded();
    let said = wait_for_line(&cli, &repo, "State changed from up to complete");
    assert_eq!(said.matches(R16_LINE).count(), 1, "{said}");
    assert!(said.contains("]: Stopping all processes with SIGTERM"), "{said}");
    wait_until("the dyno to be gone", Duration::from_secs(30), || server.dynos(APP).is_empty().then_some(()));
}
