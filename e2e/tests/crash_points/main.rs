//! Every crash point: the server is ended before and after each durable step of each verb, and started again.
//!
//! A verb is performed once to see which points it passes. Then, for each of them: the point is armed, the verb is
//! performed, the server dies as by kill -9, an ordinary start follows, and every invariant of `ARCHITECTURE.md` is
//! asserted (`invariants.rs`). So it goes with starts (`starts.rs`), with what comes at a moment of its own (`moments.rs`)
//! and with restores. Some of them, or one point, again: `PADDOCK_CRASH_POINT='VERB,VERB NAME:before'`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a walk ends where it stands, and says where it is"
)]

mod client;
mod first_start;
mod invariants;
mod moments;
mod restores;
mod starts;
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

/// Durable steps that the walk does not come to, with who looks after them.
const NOT_WALKED: &[(&str, &str)] = &[
    ("feature.of_account_set", "no feature of accounts is built yet"),
    ("job.refused", "a job of a kind that no version makes"),
    ("layer.moved_in", "builds whose disk has no limit; one rename"),
    (
        "setting.kept",
        "once in a process, at whichever verb is first: one statement, and the first to come wins",
    ),
    (
        "router.put_back",
        "a router that does not start: router_link's where_the_new_one_does_not_start_the_old_one_goes_on",
    ),
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
    failed.extend(walk.moments());
    failed.extend(walk.starts());
    walk.restores();
    assert!(failed.is_empty(), "these do not survive every kill: {failed:?}");
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
        let client = Client::deploy(&server, points.clock(), buildpacks.path());
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
        let Some(asked) = asked(verb.name()) else { return };
        let Performed { passed, .. } = self.perform(verb, None);
        let points = self.wanted(passed, &asked);
        for (number, point) in points.iter().enumerate() {
            self.say(verb.name(), number, points.len(), point);
            self.point(verb, point);
        }
    }

    /// Those of the points passed that are to be died at.
    fn wanted(&self, passed: Vec<String>, asked: &Asked) -> Vec<String> {
        let every = e2e::rounds("PADDOCK_SOAK_POINTS", 0) > 0;
        let wanted = |point: &String| match asked {
            Asked::Points(points) => points.contains(point),
            Asked::All => every || !self.died_at.contains(point),
        };
        passed.into_iter().filter(wanted).collect()
    }

    fn say(&self, name: &str, number: usize, count: usize, point: &str) {
        let elapsed = self.begun.elapsed().as_secs();
        eprintln!("[{elapsed:4} s] {name}: point {} of {count}: {point}", number + 1);
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

    /// Every step was died at, by a verb or at a first start, or is looked after elsewhere.
    fn end(mut self) {
        eprintln!("died at {} points in {} s", self.died_at.len(), self.begun.elapsed().as_secs());
        if wanted_places().is_some() {
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

/// What is asked for of a verb, a start or a moment.
enum Asked {
    /// All its points that nothing died at before.
    All,
    /// Some points.
    Points(Vec<String>),
}

/// Whether something is asked for: everything, unless `PADDOCK_CRASH_POINT` has a list of names, separated by commas,
/// each perhaps with a point.
fn asked(name: &str) -> Option<Asked> {
    let Some(list) = wanted_places() else { return Some(Asked::All) };
    let mut points = Vec::new();
    for rest in list.split(',').filter_map(|place| place.trim().strip_prefix(name)) {
        match rest.strip_prefix(' ') {
            None if rest.is_empty() => return Some(Asked::All),
            Some(point) if is_point(point) => points.push(point.to_owned()),
            _ => {}
        }
    }
    (!points.is_empty()).then_some(Asked::Points(points))
}

/// `NAME:before` or `NAME:after`; the rest of a longer name is none.
fn is_point(text: &str) -> bool {
    text.contains(':') && !text.contains(' ')
}

fn wanted_places() -> Option<String> {
    std::env::var_os("PADDOCK_CRASH_POINT").map(|list| list.to_string_lossy().into_owned())
}
