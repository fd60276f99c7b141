//! One server that is walked, and a verb on it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use e2e::{FailPoints, Server, pause};
use tempfile::TempDir;

use crate::client::{Client, Told};
use crate::invariants;
use crate::parts::Steps;
use crate::verbs::{self, Verb};

/// How long after a verb's answer its last steps may come: those of reconcilers.
pub(crate) const LATE: Duration = Duration::from_secs(5);

/// A little more than how long a destroyed app is looked after often.
const AFTERCARE: Duration = Duration::from_secs(61);

/// How long no further point is passed when a verb is over; some parts of the server look around once in a second.
const QUIET: Duration = Duration::from_millis(1500);

/// Held by who chooses a network for a new server, and alone by who stops one with all that it has in the kernel: its
/// network is free then, and would be the other's when it starts again.
pub(crate) static NETWORKS: RwLock<()> = RwLock::new(());

/// One server with its clients.
pub(crate) struct Walk {
    pub(crate) points: FailPoints,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) round: usize,
    /// What `serve` is given besides what every server is.
    arguments: Vec<String>,
    _buildpacks: TempDir,
}

impl Walk {
    /// A server on which one app is deployed.
    pub(crate) fn begin() -> Self {
        let points = FailPoints::new();
        let buildpacks = TempDir::with_prefix("paddock-buildpacks-").unwrap();
        fs::set_permissions(buildpacks.path(), fs::Permissions::from_mode(0o755)).unwrap();
        verbs::buildpack::prepare(buildpacks.path());
        let folder = buildpacks.path().display().to_string();
        let buildpacks_from = ["--allow-insecure-buildpack-urls", "--buildpack-folder", &folder];
        let images = ["--layer-cache", "16M", "--allow-egress", "127.0.0.1/32"];
        let arguments = [&buildpacks_from[..], &images].concat();
        let mut server = Server::with_fail_points(&points, &arguments);
        let network = NETWORKS.read().unwrap_or_else(PoisonError::into_inner);
        server.restart();
        drop(network);
        for words in ["adopt", "interrupted", "router", "a git which was killed", "does not know"] {
            server.announce(words);
        }
        for words in ["a data server ended by itself", "fill a database", "could not be filled from its dump"]
        {
            server.announce(words);
        }
        // Several servers wait for one disk.
        server.announce("slow statement");
        let client = Client::deploy(&server, points.clock(), buildpacks.path());
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        Self { points, server, client, round: 0, arguments, _buildpacks: buildpacks }
    }

    /// Starts the server again, with these arguments besides the walk's own.
    pub(crate) fn restart_with(&mut self, more: &[&str]) {
        let own = self.arguments.iter().map(String::as_str);
        self.server.set_arguments(&own.chain(more.iter().copied()).collect::<Vec<_>>());
        self.server.restart();
    }

    /// After a fault: the server runs as it did at first.
    pub(crate) fn mend(&mut self) {
        self.points.disarm();
        self.restart_with(&[]);
    }

    /// Destroys all apps but the walk's own, and waits until nothing of them goes on.
    pub(crate) fn clear(&self) {
        if self.client.destroy_others() {
            self.points.record();
            let since = Instant::now();
            invariants::hold(&self.server, &self.client);
            // For so long what is gone is looked after, which others would pass the points of, and not the next time.
            self.client.clock.advance(AFTERCARE);
            while !is_over(&self.points, since) {
                pause(Duration::from_millis(5));
            }
        }
    }

    /// Performs a verb and asserts what must be so afterwards: with a death at `point`, or noting the points it passes.
    fn perform(&mut self, verb: &mut dyn Verb, point: Option<&str>) -> Performed {
        self.round += 1;
        let number = self.round;
        verb.prepare(&self.client, number);
        let label = format!("line-{number}");
        self.client.print_lines(&label);
        self.points.record();
        if let Some(point) = point {
            self.points.arm(point);
        }
        let (told, died) = self.attempt(verb);
        invariants::no_work_is_left(&self.client);
        // What follows is the test's own doing.
        let passed = self.points.recorded();
        if let Told::No(reason) = &told {
            assert!(died, "it was refused: {reason}");
            let again = verb.again(&self.client, number);
            assert!(matches!(again, Told::Yes), "the retry after a kill: {again:?}");
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
            if !died && points.has_struck() {
                died = true;
                server.wait_dead();
                server.restart();
            }
            (told, died)
        })
    }
}

/// Whether what followed from something is over: no point is passed any more.
pub(crate) fn is_over(points: &FailPoints, since: Instant) -> bool {
    since.elapsed() >= LATE || points.is_quiet_for(QUIET)
}

/// What came of a verb.
struct Performed {
    died: bool,
    /// The points that it passed.
    passed: Vec<String>,
}

/// A verb on a lane, whose server has these arguments for it.
pub(crate) struct Performing {
    pub(crate) verb: Box<dyn Verb>,
    pub(crate) arguments: &'static [&'static str],
}

impl Steps for Performing {
    fn record(&mut self, walk: &mut Walk) -> Vec<String> {
        walk.perform(self.verb.as_mut(), None).passed
    }

    fn die_at(&mut self, walk: &mut Walk, point: &str) -> bool {
        // What comes beside the verb may not come each time.
        let verb = self.verb.as_mut();
        walk.perform(verb, Some(point)).died || walk.perform(verb, Some(point)).died
    }

    fn end(&mut self, walk: &mut Walk) {
        if !self.arguments.is_empty() {
            walk.restart_with(&[]);
        }
    }
}
