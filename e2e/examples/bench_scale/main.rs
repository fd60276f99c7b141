//! What the platform costs with one app, and with thousands that have nothing to do: two servers, measured in turn.
//!
//! Nothing that is asked for one app may grow with the others: a change of its config, a restart of a dyno. What looks after
//! all of them costs as much as there is to do. Whatever else the machine does falls on both servers alike. The table ends
//! with a bound for each number, and the run fails where one is broken.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for the terminal")]

mod app;
mod idle_apps;
mod processes;
mod side;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use e2e::rounds;

use crate::side::{Side, quiet, rest};
use crate::table::{Bound, Row};

/// How long the platform is watched at rest: once through everything that is done each minute.
const REST_SECONDS: usize = 60;

fn main() -> ExitCode {
    let apps = rounds("PADDOCK_BENCH_APPS", 5000);
    let runs = rounds("PADDOCK_BENCH_RUNS", 40);
    let mut sides = [Side::new(), Side::new()];
    println!("making {apps} apps");
    let made = idle_apps::make(&sides[1].server, apps);
    println!("starting both servers anew, so that nothing is measured of how the apps came");
    let start = in_turn(&mut sides, 5, Side::start_anew);
    quiet(&sides);
    println!("watching them at rest");
    let seconds = u32::try_from(rounds("PADDOCK_BENCH_SECONDS", REST_SECONDS)).unwrap();
    let rest = rest(&sides, seconds);
    let bytes = sides.each_ref().map(Side::bytes);
    println!("changing config");
    let config = in_turn(&mut sides, runs, Side::change_config);
    quiet(&sides);
    println!("restarting dynos");
    let change = in_turn(&mut sides, runs, Side::restart_cost);
    println!("listing apps");
    let listed = idle_apps::list(&sides[1].server, &made);

    let of = |what: &str, bound, [few, many]: [f64; 2]| Row::new(what, bound).of(few, many);
    let per_app = |few: u64, many: u64| many.saturating_sub(few) as f64 / 1024.0 / apps as f64;
    let [(few_serve, few_router), (many_serve, many_router)] = bytes;
    let (serve, router) = (per_app(few_serve, many_serve), per_app(few_router, many_router));
    // What goes on at rest is no part of it.
    let beyond_rest = |side: usize| {
        let mean = ms(change[side].iter().sum::<Duration>()) / change[side].len() as f64;
        mean - rest[side] * ms(side::RESTART)
    };
    let change = [0, 1].map(beyond_rest);
    let mut rows = vec![
        of("at rest, of a core (%)", Bound::Most(0.5), rest.map(|part| part * 100.0)),
        Row::new("memory of an idle app (kB)", Bound::Most(8.0)).alone(serve + router),
        Row::new("  of that in serve", Bound::None).alone(serve),
        Row::new("  of that in the router", Bound::None).alone(router),
        of("config change to the new dyno's answer (ms)", Bound::Times(1.1), config.map(median)),
        of("processor time of one dyno's change (ms)", Bound::Times(1.1), change),
        of("start of the server (ms)", Bound::Most(2000.0), start.map(median)),
    ];
    rows.extend(made.rows());
    rows.extend(listed.rows());
    table::print(&rows, apps);
    if rows.iter().all(Row::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures both sides in turn.
fn in_turn(sides: &mut [Side; 2], times: usize, one: impl Fn(&mut Side) -> Duration) -> [Vec<Duration>; 2] {
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..times {
        for (side, taken) in sides.iter_mut().zip(&mut taken) {
            taken.push(one(side));
        }
    }
    taken
}

/// The middle one of several, in milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    ms(times[times.len() / 2])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
