//! Every crash point: the server is ended before and after each durable step of each verb, and started again.
//!
//! A verb is performed once to see which points it passes. Then, for each of them: the point is armed, the verb is
//! performed, the server dies as by kill -9, an ordinary start follows, and every invariant of `ARCHITECTURE.md` is
//! asserted (`invariants.rs`). So it goes with starts (`starts.rs`), with what comes at a moment of its own (`moments.rs`)
//! and with restores. Much of it is waiting, so several servers are walked side by side (`lane.rs`); what is to be done
//! is in one plan (`plan.rs`), and what they came to in one book (`book.rs`). Which points are died at, see `fifths.rs`.
//! Some of it, or one point, again: `PADDOCK_CRASH_POINT='VERB,VERB NAME:before'`.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a walk ends where it stands, and says where it is"
)]

mod book;
mod client;
mod dumps;
mod fifths;
mod first_start;
mod full_databases;
mod invariants;
mod lane;
mod moments;
mod parts;
mod plan;
mod restores;
mod rotations;
mod starts;
mod verbs;
mod walk;
mod wanted;

use book::Book;
use e2e::may_run;
use fifths::Fifths;
use plan::Plan;
use walk::Walk;

/// Servers that are walked side by side, besides the one for what is not for them and two of first starts: a machine
/// has fifteen ranges of user ids.
const LANES: usize = 5;

#[test]
fn every_verb_survives_a_kill_at_each_of_its_points() {
    if !may_run("a kill at every durable step") {
        return;
    }
    let fifths = Fifths::of_this_run();
    eprintln!("the walk dies at {fifths}");
    let plan = Plan::new(parts::all(), Book::new(fifths));
    std::thread::scope(|scope| {
        if plan.parts.iter().any(|part| part.is_aside) {
            scope.spawn(|| lane::go(&plan, true));
        }
        for _ in 0..e2e::rounds("PADDOCK_WALK_LANES", LANES).min(plan.parts.len()).max(1) {
            scope.spawn(|| lane::go(&plan, false));
        }
    });
    plan.book.close(&plan.parts);
}
