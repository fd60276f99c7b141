//! What to do so that an app's dynos become its formation.
//!
//! The executor carries the steps out and makes no choice of its own. Two properties hold (tested): planning again
//! after all steps succeeded yields nothing, and there is never more than one dyno per name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dyno::{DynoName, DynoState};
use crate::id::{ContainerId, DynoId, ReleaseId};
use crate::process::ProcessType;
use crate::time::UnixMicros;

/// How long a web dyno may take to listen on its port (R10). Source: `platform-behaviour.md`, section 2.
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

/// What is wanted of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The release whose dynos should run; `None` while nothing was deployed.
    pub release: Option<ReleaseId>,
    /// Number of dynos for each process type that has a command.
    pub quantities: BTreeMap<ProcessType, u32>,
}

/// A dyno of the formation as the store and the runtime know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynoSeen {
    /// Its id.
    pub id: DynoId,
    /// Its name.
    pub name: DynoName,
    /// The release it runs.
    pub release: ReleaseId,
    /// Its state in the store.
    pub state: DynoState,
    /// Whether somebody asked for it to end (restart, stop).
    pub ending: bool,
    /// Its container.
    pub container: ContainerId,
    /// What the runtime says of the container.
    pub seen: Seen,
    /// When its state last changed.
    pub state_changed_at: UnixMicros,
    /// When a crashed dyno may be tried again.
    pub retry_at: Option<UnixMicros>,
}

/// What the runtime says of a dyno's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Surely not there.
    Absent,
    /// Half started, or nobody watches over it.
    Unknown,
    /// Its program runs; `listening` says whether the dyno's port is bound.
    Running {
        /// Whether something listens on the dyno's port.
        listening: bool,
    },
    /// Its program ended.
    Exited {
        /// Exit status.
        status: i32,
    },
}

/// One thing to do, with the reason where it is not plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a dyno with this name, and start it.
    Create(DynoName),
    /// Start the container of a dyno that was made but not started (a crash came between).
    Launch(DynoId),
    /// The dyno is up.
    MarkUp(DynoId),
    /// Its program ended though it should run.
    Crash {
        /// The dyno.
        dyno: DynoId,
        /// Exit status; `None` when it is not known.
        status: Option<i32>,
    },
    /// It did not listen in time (R10): kill it and count it as crashed.
    BootTimeout(DynoId),
    /// Send SIGTERM, and SIGKILL after the grace.
    Stop {
        /// The dyno.
        dyno: DynoId,
        /// Why.
        reason: StopReason,
    },
    /// The program has ended and was to end: forget the dyno and its container.
    Forget(DynoId),
}

/// Why a dyno is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A newer release is to run.
    NewRelease,
    /// The formation became smaller or lost the process type.
    ScaledDown,
    /// Somebody asked for a restart or a stop.
    Requested,
}

/// Plans the next steps. `dynos` are all formation dynos of the app that are not forgotten.
#[must_use]
pub fn plan(desired: &Desired, dynos: &[DynoSeen], now: UnixMicros) -> Vec<Step> {
    let mut steps: Vec<Step> = dynos.iter().filter_map(|dyno| step_for(desired, dyno, now)).collect();
    if desired.release.is_some() {
        steps.extend(missing(desired, dynos, now).into_iter().map(Step::Create));
    }
    steps
}

/// Why a dyno should not run, if so.
fn unwanted(desired: &Desired, dyno: &DynoSeen) -> Option<StopReason> {
    let quantity = desired.quantities.get(&dyno.name.process_type).copied().unwrap_or(0);
    if dyno.name.index > quantity || desired.release.is_none() {
        Some(StopReason::ScaledDown)
    } else if desired.release != Some(dyno.release) {
        Some(StopReason::NewRelease)
    } else if dyno.ending {
        Some(StopReason::Requested)
    } else {
        None
    }
}

fn step_for(desired: &Desired, dyno: &DynoSeen, now: UnixMicros) -> Option<Step> {
    let gone = matches!(dyno.seen, Seen::Absent | Seen::Exited { .. });
    if let Some(reason) = unwanted(desired, dyno) {
        return match dyno.seen {
            _ if gone => Some(Step::Forget(dyno.id)),
            // Nobody watches over it: there is nothing to wait for.
            Seen::Unknown => Some(Step::Forget(dyno.id)),
            _ => Some(Step::Stop { dyno: dyno.id, reason }),
        };
    }
    match (dyno.state, dyno.seen) {
        (DynoState::Starting, Seen::Absent) => Some(Step::Launch(dyno.id)),
        (DynoState::Starting | DynoState::Up, Seen::Exited { status }) => {
            Some(Step::Crash { dyno: dyno.id, status: Some(status) })
        }
        (DynoState::Starting | DynoState::Up, Seen::Unknown) | (DynoState::Up, Seen::Absent) => {
            Some(Step::Crash { dyno: dyno.id, status: None })
        }
        (DynoState::Starting, Seen::Running { listening }) => {
            if listening || !dyno.name.process_type.is_web() {
                Some(Step::MarkUp(dyno.id))
            } else if now.since(dyno.state_changed_at) >= BOOT_TIMEOUT {
                Some(Step::BootTimeout(dyno.id))
            } else {
                None
            }
        }
        // Its successor is made by `missing` in the pass after this one.
        (DynoState::Crashed, _) if dyno.retry_at.is_some_and(|at| at <= now) => Some(Step::Forget(dyno.id)),
        (DynoState::Down, _) => Some(Step::Forget(dyno.id)),
        _ => None,
    }
}

/// Names that should run and are not taken, by anything that runs or waits.
///
/// A name whose old dyno is still ending is not free for a `web` type only as long as the old one has not been
/// told to stop; Heroku starts the new dyno while the old one stops, so an ending dyno does not hold its name.
fn missing(desired: &Desired, dynos: &[DynoSeen], _now: UnixMicros) -> Vec<DynoName> {
    let taken =
        |name: &DynoName| dynos.iter().any(|dyno| &dyno.name == name && unwanted(desired, dyno).is_none());
    let mut names = Vec::new();
    for (process_type, quantity) in &desired.quantities {
        if process_type.is_release() {
            continue;
        }
        names.extend(
            (1..=*quantity)
                .map(|index| DynoName { process_type: process_type.clone(), index })
                .filter(|name| !taken(name)),
        );
    }
    names
}
