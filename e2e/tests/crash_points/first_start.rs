//! A server is ended at each durable step of its first start, on an empty data folder each time.

use std::fs;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use e2e::{FailPoints, Server, pause};
use serde_json::json;

use crate::Walk;
use crate::parts::{Part, Steps};
use crate::walk::{LATE, NETWORKS};

/// All points of a first start, each time that it passes them.
pub(crate) fn part() -> Part {
    let part = Part::new("first start", |_| FirstStart);
    Part { is_own: true, at_once: 2, ..part }
}

struct FirstStart;

impl Steps for FirstStart {
    fn record(&mut self, _: &mut Walk) -> Vec<String> {
        let _network = NETWORKS.read().unwrap_or_else(PoisonError::into_inner);
        let points = FailPoints::new();
        points.record();
        let mut server = Server::with_fail_points(&points, &[]);
        server.restart();
        // What follows is the test's own doing.
        let passed = points.recorded_times();
        is_complete(&server);
        passed
    }

    fn die_at(&mut self, _: &mut Walk, point: &str) -> bool {
        let _network = NETWORKS.read().unwrap_or_else(PoisonError::into_inner);
        dies_at(point)
    }
}

/// Starts a server that dies at this point, and another on what it left. False when it did not come to the point.
fn dies_at(point: &str) -> bool {
    let points = FailPoints::new();
    points.arm(point);
    let mut server = Server::with_fail_points(&points, &[]);
    server.announce("adopt");
    server.announce("slow statement");
    server.spawn_serve();
    let died = std::thread::scope(|scope| {
        // What `paddockd env` does counts as well; it waits for a server that starts again.
        let mut asks = server.program(&["env", "--wait", "--data"]);
        asks.arg(server.data());
        let env = scope.spawn(|| e2e::run(asks, b"", Duration::from_secs(45)));
        let mut answered = None;
        // A reconciler may come to its step a moment after the answer.
        while !points.has_struck() && answered.is_none_or(|at: Instant| at.elapsed() < LATE) {
            if env.is_finished() {
                answered.get_or_insert_with(Instant::now);
            }
            pause(Duration::from_millis(5));
        }
        // What comes later is not a first start's.
        points.disarm();
        let died = points.has_struck();
        if died {
            server.wait_dead();
            server.spawn_serve();
        }
        died
    });
    server.wait_ready();
    is_complete(&server);
    died
}

/// The first account can log in, the command line has its token, an app can be made, and nothing half written is left.
fn is_complete(server: &Server) {
    let http = server.http().bare();
    http.api("GET", "/account").with_status(200);
    http.api_json("POST", "/apps", &json!({ "name": "first" })).with_status(201);
    http.api("GET", "/apps/first/builds").with_status(200);
    let password = fs::read_to_string(server.data().join("admin-password")).unwrap();
    let login = http.log_in(&format!("admin@{}", server.domain()), password.trim());
    login.with_status(201);
    for folder in ["", "keys", "ca", "db"] {
        for entry in fs::read_dir(server.data().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            assert!(!name.ends_with(".new"), "invariant: nothing half written is left: {folder}/{name}");
        }
    }
}
