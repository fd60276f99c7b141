//! The control plane is killed; nobody outside notices.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, pause, rounds, wait_until};

const APP: &str = "lasting";

/// Words of the server's log that a kill explains.
fn announce_kills(server: &mut Server) {
    for words in ["adopt", "interrupted", "router"] {
        server.announce(words);
    }
}

fn deployed() -> (Server, Cli, Repo) {
    let mut server = Server::start();
    announce_kills(&mut server);
    let cli = Cli::new(&server);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/");
    (server, cli, repo)
}

#[test]
fn requests_go_on_through_kills_of_the_control_plane() {
    if !may_run("kills under traffic") {
        return;
    }
    let (mut server, _cli, _repo) = deployed();
    let process = server.get(APP, "/").json()["started"].clone();
    let (http, host) = (server.http(), server.host(APP));
    let (over, sent, failures) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = http.app(&host, "/traffic");
                    sent.fetch_add(1, Ordering::Relaxed);
                    if answer.status != 200 {
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("{} {}{}", answer.status, answer.body, answer.error));
                    }
                }
            });
        }
        for round in 0..rounds("PADDOCK_SOAK_KILLS", 3) {
            let before = sent.load(Ordering::Relaxed);
            server.kill9_serve();
            wait_until(
                &format!("traffic without a control plane, round {round}"),
                Duration::from_secs(30),
                || (sent.load(Ordering::Relaxed) > before + 20).then_some(()),
            );
            server.restart();
            let before = sent.load(Ordering::Relaxed);
            wait_until(
                &format!("traffic with a new control plane, round {round}"),
                Duration::from_secs(30),
                || (sent.load(Ordering::Relaxed) > before + 20).then_some(()),
            );
        }
        over.store(true, Ordering::Relaxed);
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} requests failed: {failures:?}", failures.len(), sent.into_inner());
    assert_eq!(server.get(APP, "/").json()["started"], process, "the dyno is the same process");
    assert_eq!(server.dynos(APP).len(), 1);
}

#[test]
fn a_request_to_the_api_waits_for_the_control_plane() {
    if !may_run("the API over a restart") {
        return;
    }
    let (mut server, cli, _repo) = deployed();
    server.kill9_serve();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| cli.heroku(&["apps:info", "--app", APP]));
        server.spawn_serve();
        let outcome = asked.join().unwrap();
        assert_eq!(outcome.status, 0, "{}", outcome.text());
    });
    server.wait_ready();
}

#[test]
fn numbered_lines_arrive_once_and_in_order_across_a_kill() {
    if !may_run("log lines across a kill") {
        return;
    }
    let count = rounds("PADDOCK_SOAK_LINES", 100_000);
    let (mut server, cli, _repo) = deployed();
    let tail = cli.follow(&["logs", "--tail", "--source", "app", "--app", APP]);
    tail.wait_for("web is listening", Duration::from_secs(60));
    server.get(APP, &format!("/numbers?label=number&count={count}&rate=10000")).with_status(200);
    tail.wait_for("number 1000\n", Duration::from_secs(60));
    server.kill9_serve();
    // Lines of the time without a control plane are in the dyno's spool.
    let progress = || server.get(APP, "/progress").json()["printed"].as_u64();
    let before = progress();
    wait_until("lines without a control plane", Duration::from_secs(60), || {
        (progress()? >= before? + 10_000 || progress()? == count as u64).then_some(())
    });
    server.restart();
    let last = format!("number {count}\n");
    tail.wait_for(&last, Duration::from_secs(180));

    let text = tail.text();
    let numbers: Vec<usize> = text
        .lines()
        .filter_map(|line| line.split_once("]: number ").and_then(|(_, number)| number.trim().parse().ok()))
        .collect();
    let distinct: BTreeSet<usize> = numbers.iter().copied().collect();
    assert!(
        numbers.is_sorted(),
        "lines arrived out of order: {:?}",
        numbers.windows(2).find(|pair| pair[0] > pair[1])
    );
    assert_eq!(distinct.len(), numbers.len(), "lines arrived twice");
    assert_eq!(numbers.len(), count, "lines were lost");
}

#[test]
fn a_kill_during_a_build_fails_or_finishes_it_and_the_next_push_succeeds() {
    if !may_run("a kill during a build") {
        return;
    }
    let (mut server, cli, repo) = deployed();
    for round in 0..rounds("PADDOCK_SOAK_KILLS", 3) {
        kill_during_push(&mut server, &cli, &repo, round);
    }
}

/// Pushes, kills the control plane once the build is seen (later in each round), and looks at what is left.
fn kill_during_push(server: &mut Server, cli: &Cli, repo: &Repo, round: usize) {
    repo.write("version.txt", &format!("round {round}\n"));
    let commit = repo.commit("Round");
    let http = server.http();
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| cli.git(repo.path(), &["push", "--force", "heroku", "main"]));
        wait_until("the build", Duration::from_secs(60), || {
            let builds = http.api("GET", &format!("/apps/{APP}/builds")).json();
            let found =
                builds.as_array()?.iter().any(|build| build["source_blob"]["version"] == commit.as_str());
            found.then_some(())
        });
        // Not a wait: each round hits another moment of the build.
        pause(Duration::from_millis(u64::try_from(round).unwrap() * 150));
        server.kill9_serve();
        server.restart();
        pushing.join().unwrap()
    });
    wait_until("no build to be pending", Duration::from_secs(120), || {
        let builds = http.api("GET", &format!("/apps/{APP}/builds")).json();
        builds.as_array()?.iter().all(|build| build["status"] != "pending").then_some(())
    });
    let releases = http.api("GET", &format!("/apps/{APP}/releases")).json();
    let pending =
        releases.as_array().unwrap().iter().filter(|release| release["status"] == "pending").count();
    assert_eq!(pending, 0, "half a release: {releases}");
    server.answers(APP, "/");

    repo.write("version.txt", &format!("after {round}\n"));
    repo.commit("After");
    cli.git(repo.path(), &["push", "--force", "heroku", "main"]).succeeded();
    wait_until("the version after the kill", Duration::from_secs(60), || {
        (server.answers(APP, "/").json()["version"] == format!("after {round}").as_str()).then_some(())
    });
}

#[test]
fn a_crashed_dyno_is_started_again_and_its_neighbours_go_on() {
    if !may_run("a crash of a dyno") {
        return;
    }
    let (server, _cli, _repo) = deployed();
    let before = server.get(APP, "/").json()["started"].clone();
    let _ = server.get(APP, "/exit");
    wait_until("a new process", Duration::from_secs(60), || {
        let answer = server.get(APP, "/");
        (answer.status == 200 && answer.json()["started"] != before).then_some(())
    });
}
