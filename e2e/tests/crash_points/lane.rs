//! A lane: one server, on which one task after the other is done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::book::place;
use crate::parts::Part;
use crate::plan::{Plan, Task};
use crate::walk::Walk;

/// Does what the plan has, until nothing is left.
pub(crate) fn go(plan: &Plan, is_aside: bool) {
    let end = End(plan);
    let mut walk = Walk::begin();
    while let Some(task) = plan.next(is_aside) {
        let part = &plan.parts[task.part];
        // Its fault does not hide the others', and what it made is not in their way.
        if catch_unwind(AssertUnwindSafe(|| perform(&mut walk, plan, part, &task))).is_err() {
            plan.book.failed(part);
            walk.mend();
        }
        plan.done(&task);
    }
    drop(walk);
    drop(end);
}

/// Others do not wait for a lane that has broken down.
struct End<'a>(&'a Plan);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}

/// Performs a part, to see which points it passes or with a death at each of these.
fn perform(walk: &mut Walk, plan: &Plan, part: &Part, task: &Task) {
    let begun = Instant::now();
    let mut steps = (part.begin)(walk);
    match &task.points {
        None => {
            let passed = steps.record(walk);
            say(plan, &format!("{}: {} points", part.name, passed.len()), begun);
            plan.book.recorded(part, passed);
        }
        Some(points) => {
            for point in points {
                let begun = Instant::now();
                let place = Place(place(part, point));
                let died = steps.die_at(walk, point);
                say(plan, &place.0, begun);
                plan.book.walked(part, point, died);
                drop(place);
            }
        }
    }
    steps.end(walk);
    walk.clear();
}

fn say(plan: &Plan, what: &str, begun: Instant) {
    let (now, took) = (plan.book.elapsed().as_secs(), begun.elapsed().as_secs_f32());
    eprintln!("[{now:4} s] {what} ({took:.1} s)");
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
