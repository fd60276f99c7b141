//! What the two processes of a server take, as the kernel counts it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use e2e::Server;

/// The unit of times in `/proc`, of every kernel for users.
const TICK_MILLIS: u64 = 10;

/// `serve` and the router that takes clients.
pub(crate) struct Processes {
    pub(crate) serve: Process,
    pub(crate) router: Process,
}

pub(crate) struct Process(PathBuf);

impl Processes {
    pub(crate) fn of(server: &Server) -> Self {
        let log = server.log();
        let mut started = log.lines().filter_map(|line| line.split_once("started the router (process "));
        let router =
            started.next_back().and_then(|(_, rest)| rest.split_once(')')).expect("a server has a router").0;
        let serve = PathBuf::from(format!("/proc/{}", server.pid().expect("the server runs")));
        Self { serve: Process(serve), router: Process(format!("/proc/{router}").into()) }
    }

    /// Processor time since they began.
    pub(crate) fn time(&self) -> Duration {
        self.serve.time() + self.router.time()
    }
}

impl Process {
    /// Processor time of all its threads, also of those that have ended.
    fn time(&self) -> Duration {
        let stat = fs::read_to_string(self.0.join("stat")).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let field = |number: usize| rest.split(' ').nth(number - 3).unwrap().parse::<u64>().unwrap();
        Duration::from_millis((field(14) + field(15)) * TICK_MILLIS)
    }

    /// Memory that is its own, and its share of what it has in common with others.
    pub(crate) fn bytes(&self) -> u64 {
        let rollup = fs::read_to_string(self.0.join("smaps_rollup")).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}
