//! Every crash point: the server is ended before and after each durable step of each verb, and started again.
//!
//! A verb is performed once to see which points it passes. Then, for each of them: the point is armed, the verb is
//! performed, the server dies as by kill -9, an ordinary start follows, and every invariant of `ARCHITECTURE.md` is
//! asserted (`invariants.rs`). One point again: `PADDOCK_CRASH_POINT='VERB NAME:before'`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a walk ends where it stands, and says where it is"
)]

mod client;
mod first_start;
mod invariants;
mod verbs;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use client::{Client, Told};
use e2e::{FailPoints, Server, durable_steps, may_run, pause};
use tempfile::TempDir;
use verbs::Verb;

/// How long after a verb's answer its last steps may come: those of reconcilers.
const LATE: Duration = Duration::from_secs(5);

/// How long no point is passed when a verb is over.
const QUIET: Duration = Duration::from_millis(1200);

/// Durable steps that no verb of a client comes to, with who looks after them.
const NOT_WALKED: &[(&str, &str)] = &[
    ("account.deleted", "an account that deletes itself: the walk needs its own; one transaction"),
    ("account.password_reset", "asked for on the machine; one transaction"),
    ("rate_limit.written", "comes every ten seconds, and a kill forgives that much"),
    ("favorite.made", "asked for through the proxy form alone; one transaction"),
    ("favorite.removed", "asked for through the proxy form alone; one transaction"),
    (
        "ca.addresses_removed",
        "a proxy form that is called by other names from now on: made anew at the start",
    ),
    ("router.dead_socket_removed", "a router that was replaced: the journeys of upgrades"),
    ("router.put_aside", "a router that is replaced: the journeys of upgrades"),
    ("router.put_back", "a router that is replaced: the journeys of upgrades"),
    ("router.socket_removed", "a router that was replaced: the journeys of upgrades"),
    ("router.taken_back", "a router that was replaced: the journeys of upgrades"),
    ("router_lines.spool_removed", "a router that was replaced: the journeys of upgrades"),
    ("app.forgotten", "comes a day after an app was destroyed"),
    ("account.made", "asked for on the machine; one transaction"),
    (
        "build.source_removed",
        "cleaning up after an interrupted build: the second half of every kill within a build",
    ),
    ("dyno.boot_ended", "comes after a minute of a dyno that does not listen"),
    ("dyno.stopped_with_server", "paddockd stop --stop-dynos: whoever was cut off asks again"),
    ("feature.of_account_set", "no feature of accounts is built yet"),
    ("job.refused", "a job of a kind that no version makes"),
    ("job.renewed", "comes after ten seconds of a build; one statement"),
    ("layer.moved_in", "builds whose disk has no limit; one rename"),
    ("log.empty_segment_removed", "a start after a kill at log.segment_begun, which is walked"),
    ("log.segment_retired", "comes after megabytes of lines; tests of the crate cut logs there"),
    ("log.tail_cut", "a torn tail: tests of the crate tear it"),
    ("release_output.tail_cut", "a start after a kill at release_output.written, which is walked"),
    ("setting.kept", "one statement, the first to come wins"),
    ("source.forgotten", "comes after the hours that a source is kept"),
    ("source.old_file_removed", "comes after a day"),
    ("source.part_removed", "an upload that breaks off"),
    ("source.removed", "comes after the hours that a source is kept"),
];

#[test]
fn every_verb_survives_a_kill_at_each_of_its_points() {
    if !may_run("a kill at every durable step") {
        return;
    }
    let mut walk = Walk::begin();
    let mut failed = Vec::new();
    for mut verb in verbs::all() {
        // One verb's fault does not hide the others'.
        if std::panic::catch_unwind(AssertUnwindSafe(|| walk.verb(verb.as_mut()))).is_err() {
            failed.push(verb.name());
            walk.points.disarm();
            walk.server.restart();
        }
    }
    assert!(failed.is_empty(), "these verbs do not survive every kill: {failed:?}");
    walk.starts();
    walk.end();
}

/// Where the walk is.
struct Walk {
    points: FailPoints,
    server: Server,
    client: Client,
    _buildpacks: TempDir,
    round: usize,
    begun: Instant,
    /// Points at which the server has died.
    died_at: BTreeSet<String>,
    /// Points that were passed when recorded and did not come again.
    missed: Vec<String>,
}

impl Walk {
    fn begin() -> Self {
        let points = FailPoints::new();
        let buildpacks = TempDir::with_prefix("paddock-buildpacks-").unwrap();
        std::fs::set_permissions(buildpacks.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        verbs::buildpack::prepare(buildpacks.path());
        let folder = buildpacks.path().display().to_string();
        let arguments = ["--allow-insecure-buildpack-urls", "--buildpack-folder", &folder];
        let mut server = Server::with_fail_points(&points, &arguments);
        server.restart();
        for words in ["adopt", "interrupted", "router"] {
            server.announce(words);
        }
        let client = Client::deploy(&server, buildpacks.path());
        let begun = Instant::now();
        Self {
            points,
            server,
            client,
            _buildpacks: buildpacks,
            round: 0,
            begun,
            died_at: BTreeSet::new(),
            missed: Vec::new(),
        }
    }

    /// Walks a verb's points: all of them when asked, else those that no verb before has died at.
    fn verb(&mut self, verb: &mut dyn Verb) {
        let (only_verb, only_point) = only();
        if only_verb.as_deref().is_some_and(|only| only != verb.name()) {
            return;
        }
        let Performed { passed, .. } = self.perform(verb, None);
        let every = e2e::rounds("PADDOCK_SOAK_POINTS", 0) > 0;
        let wanted = |point: &String| match &only_point {
            Some(only) => only == point,
            None => every || !self.died_at.contains(point),
        };
        let points: Vec<_> = passed.into_iter().filter(wanted).collect();
        for (number, point) in points.iter().enumerate() {
            eprintln!(
                "[{:4} s] {}: point {} of {}: {point}",
                self.begun.elapsed().as_secs(),
                verb.name(),
                number + 1,
                points.len()
            );
            self.point(verb, point);
        }
    }

    fn point(&mut self, verb: &mut dyn Verb, point: &str) {
        let place = format!("{} {point}", verb.name());
        let guard = Place(place.clone());
        if self.perform(verb, Some(point)).died {
            self.died_at.insert(point.to_owned());
        } else {
            self.missed.push(place);
        }
        drop(guard);
    }

    /// Performs a verb and asserts what must be so afterwards: with a death at `point`, or noting the points it passes.
    fn perform(&mut self, verb: &mut dyn Verb, point: Option<&str>) -> Performed {
        self.round += 1;
        let number = self.round;
        verb.prepare(&self.client, number);
        let label = format!("line-{number}");
        self.client.print_lines(&label);
        match point {
            Some(point) => self.points.arm(point),
            None => self.points.record(),
        }
        let (told, died) = self.attempt(verb);
        invariants::no_work_is_left(&self.client);
        // What follows is the test's own doing.
        let passed = if point.is_none() { self.points.recorded() } else { Vec::new() };
        if let Told::No(reason) = &told {
            assert!(died, "{} was refused: {reason}", verb.name());
            let again = verb.again(&self.client, number);
            assert!(matches!(again, Told::Yes), "the retry of {} after a kill: {again:?}", verb.name());
            invariants::no_work_is_left(&self.client);
        }
        verb.check(&self.client, number, &told);
        invariants::hold(&self.server, &self.client);
        self.client.assert_lines(&label);
        Performed { died, passed }
    }

    /// What the client was told, and whether the server died. Waits for what comes after the answer, too.
    fn attempt(&mut self, verb: &dyn Verb) -> (Told, bool) {
        let (client, number) = (&self.client, self.round);
        let (server, points) = (&mut self.server, &self.points);
        std::thread::scope(|scope| {
            let attempt = scope.spawn(|| verb.attempt(client, number));
            let mut answered = None;
            let mut died = false;
            while answered.is_none_or(|at: Instant| at.elapsed() < LATE && !points.is_quiet_for(QUIET)) {
                if server.has_died() {
                    died = true;
                    server.restart();
                    break;
                }
                if answered.is_none() && attempt.is_finished() {
                    answered = Some(Instant::now());
                }
                pause(Duration::from_millis(5));
            }
            points.disarm();
            let told = attempt.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if !died && server.has_died() {
                died = true;
                server.restart();
            }
            (told, died)
        })
    }

    /// Walks the points of a start on a full data folder: killed, the server is killed again while it comes up.
    fn starts(&mut self) {
        if only().0.is_some_and(|only| only != "start") {
            return;
        }
        self.points.record();
        self.server.restart();
        invariants::hold(&self.server, &self.client);
        let passed = self.points.recorded();
        let every = e2e::rounds("PADDOCK_SOAK_POINTS", 0) > 0;
        let points: Vec<_> =
            passed.into_iter().filter(|point| every || !self.died_at.contains(point)).collect();
        for (number, point) in points.iter().enumerate() {
            let elapsed = self.begun.elapsed().as_secs();
            eprintln!("[{elapsed:4} s] start: point {} of {}: {point}", number + 1, points.len());
            let guard = Place(format!("start {point}"));
            self.points.arm(point);
            self.server.kill9_serve();
            self.server.spawn_serve();
            let deadline = Instant::now() + LATE;
            let mut died = false;
            while !died && Instant::now() < deadline {
                died = self.server.has_died();
                pause(Duration::from_millis(5));
            }
            self.points.disarm();
            if died {
                self.died_at.insert(point.clone());
            }
            self.server.restart();
            invariants::hold(&self.server, &self.client);
            drop(guard);
        }
    }

    /// Every step was died at, by a verb or at a first start, or is looked after elsewhere.
    fn end(mut self) {
        eprintln!("died at {} points in {} s", self.died_at.len(), self.begun.elapsed().as_secs());
        if only().0.is_some() {
            return;
        }
        self.died_at.extend(first_start::walk());
        for place in &self.missed {
            eprintln!("passed once and not again: {place}");
        }
        let mut unwalked: Vec<String> = Vec::new();
        for step in durable_steps() {
            let excused = NOT_WALKED.iter().any(|(name, _)| *name == step);
            for side in ["before", "after"] {
                let point = format!("{step}:{side}");
                if !excused && !self.died_at.contains(&point) {
                    unwalked.push(point);
                }
            }
        }
        assert!(unwalked.is_empty(), "no verb died at these points: {unwalked:#?}");
    }
}

/// What came of a verb.
struct Performed {
    died: bool,
    /// The points that it passed, where they were noted.
    passed: Vec<String>,
}

/// Says, when the test fails, how to come to this place again.
struct Place(String);

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(place) = self;
            eprintln!(
                "\nthe walk failed at: {place}\nagain: PADDOCK_CRASH_POINT='{place}' bin/test --e2e every_verb_survives\n"
            );
        }
    }
}

/// `PADDOCK_CRASH_POINT`: a verb, or a verb and a point.
fn only() -> (Option<String>, Option<String>) {
    let Some(place) = std::env::var_os("PADDOCK_CRASH_POINT") else { return (None, None) };
    let place = place.to_string_lossy().into_owned();
    match place.rsplit_once(' ') {
        Some((verb, point)) if point.contains(':') => (Some(verb.to_owned()), Some(point.to_owned())),
        _ => (Some(place), None),
    }
}
