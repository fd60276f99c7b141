//! Pid 1 of a container: starts the program, reaps what is orphaned, and ends with the program.
//!
//! Its end makes the kernel kill everything else in the container. It has no handler for SIGTERM and the kernel
//! therefore ignores that for pid 1: the program decides when a stop is over.

use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::program::Program;
use super::report::{Report, Reporter};
use super::streams::{self, ProgramStreams};
use crate::kernel::{self, CloseFrom, Forked, SingleThreaded};

/// Starts the program and waits for its end; never returns. Called without any privilege left.
pub(super) fn run(
    proof: &SingleThreaded,
    program: &Program,
    streams: ProgramStreams,
    mut reporter: Reporter,
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
    // Nothing may be held open here: readers of the program's output wait for its end, not ours.
    drop(streams);
    drop(reporter);
    if let Ok(null) = streams::null() {
        for number in 0..3 {
            let _ = kernel::become_stdio(std::os::fd::AsFd::as_fd(&null), number);
        }
        std::mem::forget(null);
    }
    let _ = kernel::close_from(3, CloseFrom::Now);
    kernel::exit_now(reap_until(child));
}

/// Reaps until `child` has ended; its status as a shell says it.
fn reap_until(child: Pid) -> i32 {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return shell_status(status),
            Err(error) if error != rustix::io::Errno::INTR => return 127,
            _ => {}
        }
    }
}

/// Exit status; 128 + signal number when a signal ended it.
pub(super) fn shell_status(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(127)
}
