//! What to do so that an app's dynos become its formation.
//!
//! The executor carries the steps out and makes no choice of its own. Two properties hold (tested): planning again
//! after all steps succeeded yields nothing, and there is never more than one dyno per name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dyno::{DynoName, DynoState};
use crate::id::{DynoId, ReleaseId};
use crate::process::ProcessType;
use crate::time::UnixMicros;

/// How long a web dyno may take to listen on its port (R10). Source: `docs/contract/platform-behaviour.md`, section 2.
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

/// What is wanted of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The release whose dynos should run; `None` while nothing was deployed.
    pub release: Option<ReleaseId>,
    /// Number of dynos for each process type that has a command.
    pub quantities: BTreeMap<ProcessType, u32>,
    /// How long a new web dyno has to have been up before those of the release before end.
    pub trial: Duration,
}

impl Desired {
    /// Whether a dyno of this name is to run, whatever its release.
    #[must_use]
    pub fn wants(&self, name: &DynoName) -> bool {
        let quantity = self.quantities.get(&name.process_type).copied().unwrap_or(0);
        name.index <= quantity && self.release.is_some()
    }
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
    /// The number of that release: a later one is greater.
    pub version: i64,
    /// Its state in the store.
    pub state: DynoState,
    /// Whether somebody asked for it to end (restart, stop).
    pub ending: bool,
    /// What the runtime says of the container.
    pub seen: Seen,
    /// Since when it boots, if it does: since its container was started, which may be long after it was made.
    pub booting_since: UnixMicros,
    /// When it came into its state.
    pub state_since: UnixMicros,
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
    /// It is being started or ended right now: what becomes of it is seen when that is over.
    UnderWay,
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
    /// A crashed dyno's time has come: put a new one in its place, which remembers the crashes.
    Retry(DynoId),
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
    let mut steps: Vec<Step> = dynos.iter().filter_map(|dyno| step_for(desired, dynos, dyno, now)).collect();
    if desired.release.is_some() {
        steps.extend(missing(desired, dynos).into_iter().map(Step::Create));
    }
    steps
}

/// Why a dyno should not run, if so.
fn unwanted(desired: &Desired, dyno: &DynoSeen) -> Option<StopReason> {
    if !desired.wants(&dyno.name) {
        Some(StopReason::ScaledDown)
    } else if desired.release != Some(dyno.release) {
        Some(StopReason::NewRelease)
    } else if dyno.ending {
        Some(StopReason::Requested)
    } else {
        None
    }
}

/// How soon a new web dyno that is on trial may have passed it: nothing else tells when.
#[must_use]
pub fn next_passed(desired: &Desired, dynos: &[DynoSeen], now: UnixMicros) -> Option<Duration> {
    let on_trial = dynos.iter().filter(|dyno| answers(dyno) && !has_passed(desired, dyno, now));
    let left = on_trial.map(|dyno| desired.trial.saturating_sub(now.since(dyno.state_since)));
    left.min().filter(|_| dynos.iter().any(|dyno| answers(dyno) && desired.release != Some(dyno.release)))
}

/// Whether it is a web dyno that could go on answering.
fn answers(dyno: &DynoSeen) -> bool {
    dyno.name.process_type.is_web()
        && dyno.state == DynoState::Up
        && !dyno.ending
        && matches!(dyno.seen, Seen::Running { .. })
}

fn has_passed(desired: &Desired, dyno: &DynoSeen, now: UnixMicros) -> bool {
    answers(dyno) && now.since(dyno.state_since) >= desired.trial
}

/// Whether a web dyno of an older release still has to answer: until one of a later release and its name has passed its
/// trial, or the current one has crashed where another of that release has passed.
fn bridges(desired: &Desired, dynos: &[DynoSeen], old: &DynoSeen, now: UnixMicros) -> bool {
    let passed = |dyno: &DynoSeen| has_passed(desired, dyno, now);
    let current_passed = || dynos.iter().any(|dyno| desired.release == Some(dyno.release) && passed(dyno));
    let mut later = dynos.iter().filter(|dyno| dyno.name == old.name && dyno.version > old.version);
    let is_replaced = later.any(|dyno| {
        passed(dyno)
            || (desired.release == Some(dyno.release) && dyno.state == DynoState::Crashed && current_passed())
    });
    answers(old) && !is_replaced
}

fn step_for(desired: &Desired, dynos: &[DynoSeen], dyno: &DynoSeen, now: UnixMicros) -> Option<Step> {
    if let Some(reason) = unwanted(desired, dyno) {
        return match dyno.seen {
            // Gone, or nobody watches over it: there is nothing to wait for.
            Seen::Absent | Seen::Exited { .. } | Seen::Unknown => Some(Step::Forget(dyno.id)),
            Seen::UnderWay => None,
            Seen::Running { .. }
                if reason == StopReason::NewRelease && bridges(desired, dynos, dyno, now) =>
            {
                None
            }
            Seen::Running { .. } => Some(Step::Stop { dyno: dyno.id, reason }),
        };
    }
    match (dyno.state, dyno.seen) {
        (_, Seen::UnderWay) => None,
        (DynoState::Starting, Seen::Absent) => Some(Step::Launch(dyno.id)),
        (DynoState::Starting | DynoState::Up, Seen::Exited { status }) => {
            Some(Step::Crash { dyno: dyno.id, status: Some(status) })
        }
        (DynoState::Starting | DynoState::Up, Seen::Unknown) => {
            Some(Step::Crash { dyno: dyno.id, status: None })
        }
        // Nothing is left of it, as after the machine was started anew or all was ended with the server: no crash of the app,
        // and its successor waits for nothing.
        (DynoState::Up, Seen::Absent) => Some(Step::Forget(dyno.id)),
        (DynoState::Starting, Seen::Running { listening }) => {
            if listening || !dyno.name.process_type.is_web() {
                Some(Step::MarkUp(dyno.id))
            } else if now.since(dyno.booting_since) >= BOOT_TIMEOUT {
                Some(Step::BootTimeout(dyno.id))
            } else {
                None
            }
        }
        (DynoState::Crashed, _) if dyno.retry_at.is_some_and(|at| at <= now) => Some(Step::Retry(dyno.id)),
        (DynoState::Down, _) => Some(Step::Forget(dyno.id)),
        _ => None,
    }
}

/// Names that should run and that no wanted dyno holds. A dyno that is ending does not hold its name: Heroku starts
/// the new one while the old one stops.
fn missing(desired: &Desired, dynos: &[DynoSeen]) -> Vec<DynoName> {
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

#[cfg(test)]
mod tests;
