//! Every crash point: the server is ended before and after each durable step of each verb, and started again.
//!
//! A verb is performed once to see which points it passes. Then, for each of them: the point is armed, the verb is
//! performed, the server dies as by kill -9, an ordinary start follows, and every invariant of `ARCHITECTURE.md` is
//! asserted (`invariants.rs`). So it goes with starts (`starts.rs`), with what comes at a moment of its own (`moments.rs`)
//! and with restores. Much of it is waiting, so two servers are walked side by side; what they came to is in one book
//! (`book.rs`). Some of it, or one point, again: `PADDOCK_CRASH_POINT='VERB,VERB NAME:before'`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a walk ends where it stands, and says where it is"
)]

mod book;
mod client;
mod first_start;
mod invariants;
mod moments;
mod restores;
mod rotations;
mod starts;
mod verbs;

use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use book::Book;
use client::{Client, Told};
use e2e::{FailPoints, Server, may_run, pause};
use tempfile::TempDir;
use verbs::Verb;

/// How long after a verb's answer its last steps may come: those of reconcilers.
const LATE: Duration = Duration::from_secs(5);

/// How long no point is passed when a verb is over.
const QUIET: Duration = Duration::from_millis(1200);

#[test]
fn every_verb_survives_a_kill_at_each_of_its_points() {
    if !may_run("a kill at every durable step") {
        return;
    }
    let book = Book::default();
    let mut walk = Walk::begin(&book, &[]);
    std::thread::scope(|scope| {
        // It begins when the other has begun: so it is always the same one that comes first to what both pass.
        scope.spawn(|| Walk::begin(&book, &[]).what_runs());
        walk.what_is_kept();
    });
    drop(walk);
    book.close();
}

/// One server, and how far it was walked.
struct Walk<'a> {
    points: FailPoints,
    server: Server,
    client: Client,
    _buildpacks: TempDir,
    round: usize,
    book: &'a Book,
}

impl<'a> Walk<'a> {
    /// A server with these arguments besides the walk's own, on which one app is deployed.
    fn begin(book: &'a Book, arguments: &[&str]) -> Self {
        let points = FailPoints::new();
        let buildpacks = TempDir::with_prefix("paddock-buildpacks-").unwrap();
        std::fs::set_permissions(buildpacks.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        verbs::buildpack::prepare(buildpacks.path());
        let folder = buildpacks.path().display().to_string();
        let own = ["--allow-insecure-buildpack-urls", "--buildpack-folder", &folder];
        let mut server = Server::with_fail_points(&points, &[&own, arguments].concat());
        server.restart();
        for words in ["adopt", "interrupted", "router", "a git which was killed", "does not know"] {
            server.announce(words);
        }
        let client = Client::deploy(&server, points.clock(), buildpacks.path());
        Self { points, server, client, _buildpacks: buildpacks, round: 0, book }
    }

    /// The verbs that change what is kept, new keys, first starts, and builds whose disk has no limit.
    fn what_is_kept(&mut self) {
        self.verbs(verbs::of_what_is_kept());
        self.rotations();
        if wanted_places().is_none() {
            self.part("first start", |walk| first_start::walk(walk.book));
        }
        if asked(verbs::deploy::PUSH_WITHOUT_LIMIT).is_some() {
            let mut unlimited = Walk::begin(self.book, &["--build-disk", "none"]);
            unlimited.verbs(vec![verbs::deploy::push_without_limit()]);
        }
    }

    /// The verbs of dynos and builds, what comes at moments of its own, starts and restores.
    fn what_runs(&mut self) {
        self.verbs(verbs::of_what_runs());
        self.moments();
        self.starts();
        self.part(restores::NAME, Self::restores);
    }

    fn verbs(&mut self, verbs: Vec<Box<dyn Verb>>) {
        for mut verb in verbs {
            self.part(verb.name(), |walk| walk.verb(verb.as_mut()));
        }
    }

    /// Walks a part. Its fault does not hide the others', and what it made is not in their way.
    fn part(&mut self, name: &'static str, walk: impl FnOnce(&mut Self)) {
        let whole = || {
            walk(self);
            self.clear();
        };
        if std::panic::catch_unwind(AssertUnwindSafe(whole)).is_err() {
            self.book.failed(name);
            self.points.disarm();
            self.server.restart();
        }
    }

    /// Destroys all apps but the walk's own, and waits until nothing of them goes on.
    fn clear(&self) {
        if self.client.destroy_others() {
            self.points.record();
            let since = Instant::now();
            while !is_over(&self.points, since) {
                pause(Duration::from_millis(5));
            }
            drop(self.points.recorded());
            invariants::hold(&self.server, &self.client);
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
            Asked::All => every || self.book.claims(point),
        };
        passed.into_iter().filter(wanted).collect()
    }

    fn say(&self, name: &str, number: usize, count: usize, point: &str) {
        let elapsed = self.book.elapsed().as_secs();
        eprintln!("[{elapsed:4} s] {name}: point {} of {count}: {point}", number + 1);
    }

    fn point(&mut self, verb: &mut dyn Verb, point: &str) {
        let place = format!("{} {point}", verb.name());
        let guard = Place(place.clone());
        // What comes beside the verb may not come each time.
        let died = self.perform(verb, Some(point)).died || self.perform(verb, Some(point)).died;
        self.book.walked(&place, point, died);
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
            while !answered.is_some_and(|at| is_over(points, at)) {
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
}

/// Whether what followed from something is over: no point is passed any more.
fn is_over(points: &FailPoints, since: Instant) -> bool {
    since.elapsed() >= LATE || points.is_quiet_for(QUIET)
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
