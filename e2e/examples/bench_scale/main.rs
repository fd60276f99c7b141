//! What the platform costs with one app, and with thousands that have nothing to do, in one run.
//!
//! Nothing that is asked for one app may grow with the others: a change of its config, a restart of a dyno. What looks after
//! all of them costs as much as there is to do. The table ends with a bound for each number, and the run fails where one is
//! broken.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for the terminal")]

mod app;
mod idle_apps;
mod processes;
mod table;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use e2e::{Server, pause, rounds};

use crate::app::App;
use crate::processes::Processes;
use crate::table::{Bound, Row};

/// How long the platform is watched at rest: once through everything that is done each minute.
const REST_SECONDS: usize = 60;
/// Longest that the platform may take to come to rest.
const QUIET_WITHIN: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let apps = rounds("PADDOCK_BENCH_APPS", 5000);
    let mut server = Server::start();
    for words in ["adopt", "interrupted", "router"] {
        server.announce(words);
    }
    let app = App::deploy(&server);
    println!("with 1 app:");
    let few = Measured::of(&mut server, &app);
    println!("making {apps} apps:");
    let made = idle_apps::make(&server, apps);
    println!("with {} apps:", apps + 1);
    let many = Measured::of(&mut server, &app);
    let listed = idle_apps::list(&server, &made);
    let mut rows = few.beside(&many, apps);
    rows.extend(made.rows());
    rows.extend(listed.rows());
    table::print(&rows, apps);
    if rows.iter().all(Row::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What one size of the platform costs.
struct Measured {
    /// Of a core, at rest.
    rest: f64,
    serve_bytes: u64,
    router_bytes: u64,
    /// From a change of the config to the answer of the dyno that has it.
    config_change: Duration,
    /// Processor time of `serve` and the router for a restart of one dyno.
    dyno_change: Duration,
    /// From the start of `serve` to its first answer.
    start: Duration,
}

impl Measured {
    fn of(server: &mut Server, app: &App) -> Self {
        // Started anew, so that nothing is measured of how the apps came.
        let start = median(3, || started(server));
        println!("  starts in {} ms", start.as_millis());
        server.answers(app::NAME, "/");
        quiet(server);
        let seconds = u32::try_from(rounds("PADDOCK_BENCH_SECONDS", REST_SECONDS)).unwrap();
        let rest = rest(server, seconds);
        println!("  rests at {:.2} % of a core", rest * 100.0);
        let processes = Processes::of(server);
        let (serve_bytes, router_bytes) = (processes.serve.bytes(), processes.router.bytes());
        println!("  has {} kB in serve, {} kB in the router", serve_bytes / 1024, router_bytes / 1024);
        let config_change = median(15, || app.change_config(server));
        println!("  answers with a new config in {} ms", config_change.as_millis());
        quiet(server);
        let dyno_change = app.restart_cost(server, 20, rest);
        println!("  restarts a dyno for {} ms of processor time", dyno_change.as_millis());
        Self { rest, serve_bytes, router_bytes, config_change, dyno_change, start }
    }

    fn beside(&self, many: &Self, apps: usize) -> Vec<Row> {
        let per_app = |few: u64, many: u64| many.saturating_sub(few) as f64 / 1024.0 / apps as f64;
        let (serve, router) =
            (per_app(self.serve_bytes, many.serve_bytes), per_app(self.router_bytes, many.router_bytes));
        let percent = Row::new("at rest, of a core (%)", Bound::Most(0.5));
        let memory = Row::new("memory of an idle app (kB)", Bound::Most(8.0));
        let config = Row::new("config change to the new dyno's answer (ms)", Bound::Times(1.1));
        let change = Row::new("processor time of one dyno's change (ms)", Bound::Times(1.1));
        let start = Row::new("start of the server (ms)", Bound::Most(2000.0));
        vec![
            percent.of(self.rest * 100.0, many.rest * 100.0),
            memory.alone(serve + router),
            Row::new("  of that in serve", Bound::None).alone(serve),
            Row::new("  of that in the router", Bound::None).alone(router),
            config.of(ms(self.config_change), ms(many.config_change)),
            change.of(ms(self.dyno_change), ms(many.dyno_change)),
            start.of(ms(self.start), ms(many.start)),
        ]
    }
}

/// Kills `serve` and starts it again: how long until it answers. The router goes on.
fn started(server: &mut Server) -> Duration {
    server.kill9_serve();
    let begun = Instant::now();
    server.spawn_serve();
    // The router waits for it.
    server.http().bare().api("GET", "/account").with_status(200);
    let time = begun.elapsed();
    server.wait_ready();
    time
}

/// Waits until the platform has nothing left to do from what was asked of it.
fn quiet(server: &Server) {
    let deadline = Instant::now() + QUIET_WITHIN;
    let (mut before, mut steady) = (f64::MAX, 0);
    while steady < 3 && Instant::now() < deadline {
        let now = rest(server, 2);
        steady = if now < before * 1.3 + 0.002 { steady + 1 } else { 0 };
        before = before.min(now);
    }
}

/// How much of a core `serve` and the router take while nobody asks for anything.
fn rest(server: &Server, seconds: u32) -> f64 {
    let processes = Processes::of(server);
    let (begun, before) = (Instant::now(), processes.time());
    pause(Duration::from_secs(seconds.into()));
    (processes.time() - before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

/// The middle one of several.
fn median(times: usize, mut one: impl FnMut() -> Duration) -> Duration {
    let mut taken: Vec<_> = (0..times).map(|_| one()).collect();
    taken.sort();
    taken[times / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
