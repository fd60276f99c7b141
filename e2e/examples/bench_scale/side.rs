//! A server with one app that has a dyno.

use std::time::{Duration, Instant};

use e2e::{Server, pause};

use crate::app::{self, App};
use crate::processes::Processes;

/// Longest that the platform may take to come to rest.
const QUIET_WITHIN: Duration = Duration::from_secs(180);
/// How long a restarted dyno gets until it is up, its predecessor gone and what was said of both in the log.
pub(crate) const RESTART: Duration = Duration::from_secs(3);

pub(crate) struct Side {
    pub(crate) server: Server,
    app: App,
}

impl Side {
    pub(crate) fn new() -> Self {
        let mut server = Server::start();
        for words in ["adopt", "interrupted", "router"] {
            server.announce(words);
        }
        let app = App::deploy(&server);
        Self { server, app }
    }

    /// Kills `serve` and starts it again: how long until it answers. The router goes on.
    pub(crate) fn start_anew(&mut self) -> Duration {
        self.server.kill9_serve();
        let begun = Instant::now();
        self.server.spawn_serve();
        // The router waits for it.
        self.server.http().bare().api("GET", "/account").with_status(200);
        let time = begun.elapsed();
        self.server.wait_ready();
        self.server.answers(app::NAME, "/");
        time
    }

    /// Memory of `serve` and of the router.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let processes = Processes::of(&self.server);
        (processes.serve.bytes(), processes.router.bytes())
    }

    /// From a change of the config to the answer of the dyno that has it.
    pub(crate) fn change_config(&mut self) -> Duration {
        self.app.change_config(&self.server)
    }

    /// Processor time for a restart of the dyno, and what goes on beside it.
    pub(crate) fn restart_cost(&mut self) -> Duration {
        let processes = Processes::of(&self.server);
        let before = processes.time();
        self.server.http().bare().api("DELETE", &format!("/apps/{}/dynos", app::NAME)).with_status(202);
        pause(RESTART);
        processes.time() - before
    }
}

/// Waits until the platform has nothing left to do from what was asked of it.
pub(crate) fn quiet(sides: &[Side; 2]) {
    let deadline = Instant::now() + QUIET_WITHIN;
    let (mut least, mut steady) = (f64::MAX, 0);
    while steady < 3 && Instant::now() < deadline {
        let now = rest(sides, 2).iter().sum::<f64>();
        // The kernel counts in hundredths of a second: four processes may each be one apart in every look.
        steady = if now < least * 1.3 + 0.02 { steady + 1 } else { 0 };
        least = least.min(now);
    }
    assert!(steady >= 3, "the platform did not come to rest within {QUIET_WITHIN:?}");
}

/// How much of a core `serve` and the router of each take while nobody asks for anything.
pub(crate) fn rest(sides: &[Side; 2], seconds: u32) -> [f64; 2] {
    let processes = sides.each_ref().map(|side| Processes::of(&side.server));
    let (begun, before) = (Instant::now(), processes.each_ref().map(Processes::time));
    pause(Duration::from_secs(seconds.into()));
    let (after, length) = (processes.each_ref().map(Processes::time), begun.elapsed().as_secs_f64());
    [0, 1].map(|side| (after[side] - before[side]).as_secs_f64() / length)
}
