//! Points that come neither with a verb of a client nor with a start: on the way down, and while a build goes on.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{FailPoints, Repo, Server, pause, wait_until};

use crate::client::Client;
use crate::parts::{Part, Steps};
use crate::verbs::{addon, buildpack};
use crate::walk::NETWORKS;
use crate::{Walk, invariants};

/// The lease of a build is made longer every ten seconds.
const SOON: Duration = Duration::from_secs(30);
const RENEWED: [&str; 2] = ["job.renewed:before", "job.renewed:after"];

/// Something that goes on, and the points that it comes to.
#[derive(Clone, Copy)]
struct Moment {
    points: [&'static str; 2],
    /// Makes what it needs, with nothing armed.
    prepare: fn(&Server, &Client),
    /// Brings it about, and waits for the server's end.
    come: fn(&mut Server, &Client, &FailPoints),
}

/// The ends of a server that is told to stop.
pub(crate) fn stops() -> Vec<Part> {
    let points = ["dyno.stopped_with_server:before", "dyno.stopped_with_server:after"];
    let written = ["rate_limit.written:before", "rate_limit.written:after"];
    let databases = ["data_server.stopped_with_server:before", "data_server.stopped_with_server:after"];
    vec![
        part("stop", Moment { points, prepare: fresh_dynos, come: stop }),
        part("stop with a database", Moment { points: databases, prepare: a_database, come: stop }),
        part("stop after a request", Moment { points: written, prepare: fresh_dynos, come: stop }),
    ]
}

/// A build that goes on for longer than the first lease of its job.
pub(crate) fn long_build() -> Part {
    part("long build", Moment { points: RENEWED, prepare: |_, _| (), come: build_for_long })
}

fn part(name: &'static str, moment: Moment) -> Part {
    Part::new(name, move |_| moment)
}

impl Steps for Moment {
    fn record(&mut self, walk: &mut Walk) -> Vec<String> {
        let mut passed = self.walk(walk, None);
        passed.retain(|point| self.points.contains(&point.as_str()));
        passed
    }

    fn die_at(&mut self, walk: &mut Walk, point: &str) -> bool {
        self.walk(walk, Some(point));
        walk.points.has_struck()
    }
}

impl Moment {
    fn walk(&self, walk: &mut Walk, point: Option<&str>) -> Vec<String> {
        (self.prepare)(&walk.server, &walk.client);
        // Something is to be written down: that a request was made.
        walk.client.get("/account");
        walk.points.record();
        if let Some(point) = point {
            walk.points.arm(point);
        }
        (self.come)(&mut walk.server, &walk.client, &walk.points);
        walk.points.disarm();
        let passed = walk.points.recorded();
        invariants::no_work_is_left(&walk.client);
        invariants::hold(&walk.server, &walk.client);
        passed
    }
}

/// A stop that is cut off leaves dynos that have exited, which the next start takes for crashed: after several in a row there
/// are longer waits. A restart forgets them.
fn fresh_dynos(server: &Server, client: &Client) {
    for app in client.list("/apps") {
        let name = app["name"].as_str().unwrap_or_default();
        client.http.api("DELETE", &format!("/apps/{name}/dynos")).with_status(202);
    }
    invariants::hold(server, client);
}

static DATABASES: AtomicUsize = AtomicUsize::new(0);

fn a_database(server: &Server, client: &Client) {
    fresh_dynos(server, client);
    // The name of one that is being destroyed is taken for a moment.
    addon::with_rows(client, DATABASES.fetch_add(1, Ordering::Relaxed), addon::SHARED);
}

/// `paddockd stop --stop-dynos`; the operator whose server was killed on its way down starts it again.
fn stop(server: &mut Server, _: &Client, _: &FailPoints) {
    let _alone = NETWORKS.write().unwrap_or_else(PoisonError::into_inner);
    let _ = server.paddockd("stop", &["--stop-dynos"]);
    wait_until("the server's end", SOON, || server.has_died().then_some(()));
    server.restart();
}

/// A push whose build takes longer than the first lease of its job; where nothing is armed, it is killed when that is
/// made longer.
fn build_for_long(server: &mut Server, client: &Client, points: &FailPoints) {
    let repo = Repo::of_app("journey");
    buildpack::set_up(client, &repo, "wait", 0);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| client.push(buildpack::BUILT, &repo));
        wait_until("the server's end", SOON, || {
            (server.has_died() || points.has_passed(RENEWED[1])).then_some(())
        });
        server.restart();
        end_what_waits(client);
        let pushed = pushing.join().unwrap();
        assert_ne!(pushed.status, 0, "a build that was interrupted did not succeed: {}", pushed.text());
    });
}

/// A busy machine may not have come to the build's container when the lease was made longer. Then the build was begun anew
/// with the server, and waits again.
fn end_what_waits(client: &Client) {
    let builds = format!("/apps/{}/builds", buildpack::BUILT);
    let pending = || client.list(&builds).into_iter().find(|build| build["status"] == "pending");
    let begun = Instant::now();
    while let Some(build) = pending().filter(|_| begun.elapsed() < 4 * SOON) {
        if begun.elapsed() > SOON {
            let id = build["id"].as_str().unwrap_or_default();
            let _ = client.http.api("DELETE", &format!("{builds}/{id}"));
        }
        pause(Duration::from_millis(100));
    }
}
