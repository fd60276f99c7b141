//! Pid 1 of a container: starts the program, tells the shim how it ended, and reaps until nothing is left.
//!
//! Its end makes the kernel kill everything else in the container, so it comes last: what the program started may be
//! what answers the requests. It has no handler for SIGTERM and the kernel therefore ignores that for pid 1: the
//! processes decide when a stop is over, and the shim when their time is.

use std::os::fd::AsFd;

use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::program::Program;
use super::report::{Report, Reporter};
use super::streams::{self, ProgramStreams};
use crate::kernel::{self, Forked, SingleThreaded};

/// Starts the program and waits for the end of everything; never returns. Called without any privilege left. The
/// program's own end is reported to `end`.
pub(super) fn run(
    proof: &SingleThreaded,
    program: &Program,
    streams: ProgramStreams,
    mut reporter: Reporter,
    mut end: Reporter,
) -> ! {
    let child = match kernel::fork(proof) {
        Ok(Forked::Child) => {
            let error = program.run(&streams);
            reporter.send(&Report::Failed(error));
            kernel::exit_now(127);
        }
        Ok(Forked::Parent(child)) => child,
        Err(source) => {
            let doing = "make a process for the program".to_owned();
            reporter.send(&Report::Failed(crate::error::StepError::Host { doing, source }));
            kernel::exit_now(127);
        }
    };
    // Nothing else may be held open here: readers of the program's output wait for its end, not ours.
    drop(streams);
    drop(reporter);
    if let Ok(null) = streams::null() {
        for number in 0..3 {
            let _ = kernel::become_stdio(null.as_fd(), number);
        }
        std::mem::forget(null);
    }
    let _ = kernel::close_all_but(end.as_fd());
    kernel::exit_now(reap_all(child, &mut end));
}

/// Reaps until there is nobody left, and reports the end of `child`; its status as a shell says it.
fn reap_all(child: Pid, end: &mut Reporter) -> i32 {
    let mut ended_with = 127;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                ended_with = shell_status(status);
                end.send(&Report::Ended(ended_with));
            }
            Err(error) if error != rustix::io::Errno::INTR => return ended_with,
            _ => {}
        }
    }
}

/// Exit status; 128 + signal number when a signal ended it.
pub(super) fn shell_status(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(127)
}
