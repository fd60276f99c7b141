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

/// How long a web dyno may take to listen on its port (R10). Source: `platform-behaviour.md`, section 2.
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
    /// Since when it has its state.
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
mod tests {
    use super::*;
    use uuid::Uuid;

    const TRIAL: Duration = Duration::from_secs(5);

    /// A small world that carries steps out as an executor would.
    struct World {
        dynos: Vec<DynoSeen>,
        now: UnixMicros,
        made: u128,
        /// Of what is made now.
        version: i64,
    }

    fn release(number: u128) -> ReleaseId {
        ReleaseId::from_uuid(Uuid::from_u128(number))
    }

    fn desired(number: u128, web: u32) -> Desired {
        let quantities = [(ProcessType::web(), web), (ProcessType::release(), 1)].into_iter().collect();
        Desired { release: Some(release(number)), quantities, trial: TRIAL }
    }

    impl World {
        fn new() -> Self {
            Self { dynos: Vec::new(), now: UnixMicros(0), made: 0, version: 1 }
        }

        fn carry_out(&mut self, desired: &Desired) -> usize {
            let steps = plan(desired, &self.dynos, self.now);
            for step in &steps {
                match step {
                    Step::Create(name) => self.create(name.clone(), desired),
                    Step::Launch(id) => self.dyno(*id).seen = Seen::Running { listening: false },
                    Step::MarkUp(id) => {
                        let now = self.now;
                        let dyno = self.dyno(*id);
                        (dyno.state, dyno.state_since) = (DynoState::Up, now);
                    }
                    Step::Crash { dyno, .. } | Step::BootTimeout(dyno) => {
                        let now = self.now;
                        let dyno = self.dyno(*dyno);
                        (dyno.state, dyno.state_since) = (DynoState::Crashed, now);
                        dyno.seen = Seen::Exited { status: 1 };
                        dyno.retry_at = Some(now + Duration::from_secs(600));
                    }
                    Step::Stop { dyno, .. } => self.dyno(*dyno).seen = Seen::Exited { status: 143 },
                    Step::Forget(id) => self.dynos.retain(|dyno| dyno.id != *id),
                    Step::Retry(id) => {
                        let name = self.dyno(*id).name.clone();
                        self.dynos.retain(|dyno| dyno.id != *id);
                        self.create(name, desired);
                    }
                }
            }
            steps.len()
        }

        fn create(&mut self, name: DynoName, desired: &Desired) {
            self.made += 1;
            self.dynos.push(DynoSeen {
                id: DynoId::from_uuid(Uuid::from_u128(self.made)),
                name,
                release: desired.release.unwrap(),
                version: self.version,
                state: DynoState::Starting,
                ending: false,
                seen: Seen::Running { listening: false },
                booting_since: self.now,
                state_since: self.now,
                retry_at: None,
            });
        }

        fn dyno(&mut self, id: DynoId) -> &mut DynoSeen {
            self.dynos.iter_mut().find(|dyno| dyno.id == id).unwrap()
        }

        fn dyno_now(&self, id: DynoId) -> &DynoSeen {
            self.dynos.iter().find(|dyno| dyno.id == id).unwrap()
        }

        fn settle(&mut self, desired: &Desired) {
            for _ in 0..10 {
                for dyno in &mut self.dynos {
                    if dyno.seen == (Seen::Running { listening: false }) {
                        dyno.seen = Seen::Running { listening: true };
                    }
                }
                let next = next_passed(desired, &self.dynos, self.now);
                self.now = self.now + next.unwrap_or_default();
                if self.carry_out(desired) == 0 && next.is_none() {
                    return;
                }
            }
            panic!("does not settle: {:?}", self.dynos);
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> =
                self.dynos.iter().map(|dyno| format!("{} {:?}", dyno.name, dyno.state)).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_formation_grows_and_shrinks_from_the_top() {
        let mut world = World::new();
        world.settle(&desired(1, 3));
        assert_eq!(world.names(), ["web.1 Up", "web.2 Up", "web.3 Up"]);
        world.settle(&desired(1, 1));
        assert_eq!(world.names(), ["web.1 Up"]);
        world.settle(&Desired { release: None, quantities: BTreeMap::new(), trial: TRIAL });
        assert!(world.names().is_empty());
    }

    #[test]
    fn an_old_web_dyno_answers_until_its_successor_has_been_up_for_a_while() {
        let mut world = World::new();
        world.settle(&desired(1, 1));
        world.version = 2;
        world.carry_out(&desired(2, 1));
        assert_eq!(world.names(), ["web.1 Starting", "web.1 Up"]);
        assert_eq!(world.carry_out(&desired(2, 1)), 0, "nothing happens before the new one listens");
        world.dynos[1].seen = Seen::Running { listening: true };
        world.carry_out(&desired(2, 1));
        assert_eq!(world.names(), ["web.1 Up", "web.1 Up"]);
        assert_eq!(world.carry_out(&desired(2, 1)), 0, "the new one is on trial");
        assert_eq!(next_passed(&desired(2, 1), &world.dynos, world.now), Some(TRIAL));
        world.settle(&desired(2, 1));
        assert_eq!(world.names(), ["web.1 Up"]);
        assert_eq!(world.dynos[0].release, release(2));
        assert_eq!(next_passed(&desired(2, 1), &world.dynos, world.now), None);
    }

    #[test]
    fn a_release_that_does_not_come_up_leaves_the_old_dynos_serving() {
        let mut world = World::new();
        world.settle(&desired(1, 2));
        world.version = 2;
        let fails = |world: &mut World, name: &str| {
            let new = world.dynos.iter_mut().rfind(|dyno| dyno.name.to_string() == name).unwrap();
            new.seen = Seen::Exited { status: 1 };
            world.carry_out(&desired(2, 2));
        };
        world.carry_out(&desired(2, 2));
        fails(&mut world, "web.1");
        fails(&mut world, "web.2");
        let both = ["web.1 Crashed", "web.1 Up", "web.2 Crashed", "web.2 Up"];
        assert_eq!(world.names(), both);
        assert_eq!(world.carry_out(&desired(2, 2)), 0);
        world.now = world.now + Duration::from_secs(600);
        world.carry_out(&desired(2, 2));
        fails(&mut world, "web.1");
        world.settle(&desired(2, 2));
        assert_eq!(world.names(), ["web.1 Crashed", "web.2 Up"], "one of the new release has passed");
    }

    #[test]
    fn of_two_older_releases_the_later_one_serves_on_alone() {
        let mut world = World::new();
        world.settle(&desired(1, 1));
        world.version = 2;
        world.carry_out(&desired(2, 1));
        world.dynos[1].seen = Seen::Running { listening: true };
        world.carry_out(&desired(2, 1));
        world.version = 3;
        world.carry_out(&desired(3, 1));
        assert_eq!(world.names(), ["web.1 Starting", "web.1 Up", "web.1 Up"]);
        assert_eq!(next_passed(&desired(3, 1), &world.dynos, world.now), Some(TRIAL));
        world.now = world.now + TRIAL;
        world.carry_out(&desired(3, 1));
        world.carry_out(&desired(3, 1));
        assert_eq!(world.names(), ["web.1 Starting", "web.1 Up"]);
        assert_eq!(world.dynos[0].release, release(2));
    }

    proptest::proptest! {
        /// Whatever new dynos do, and however often something newer is released: one that answers goes only for one that has
        /// been up, and what settles is one dyno for each name.
        #[test]
        fn nothing_that_answers_ends_for_what_has_not(
            events in proptest::collection::vec((0..6_u8, 0..8_usize), 1..60),
            quantity in 1..4_u32,
        ) {
            let (mut world, mut number) = (World::new(), 1);
            world.settle(&desired(number, quantity));
            for (event, which) in events {
                let count = world.dynos.len();
                let seen = &mut world.dynos[which % count];
                let is_new = seen.release == release(number);
                match event {
                    0 => {
                        number += 1;
                        world.version += 1;
                    }
                    1 | 2 if is_new && seen.state != DynoState::Crashed => seen.seen = Seen::Exited { status: 1 },
                    3 if seen.seen == (Seen::Running { listening: false }) => {
                        seen.seen = Seen::Running { listening: true };
                    }
                    4 => world.now = world.now + Duration::from_secs(2),
                    5 => world.now = world.now + Duration::from_secs(601),
                    _ => {}
                }
                let desired = desired(number, quantity);
                let passed = |dyno: &DynoSeen| has_passed(&desired, dyno, world.now);
                let newest = world.dynos.iter().filter(|dyno| passed(dyno)).map(|dyno| dyno.version).max();
                let ends = |step: &Step| matches!(step, Step::Stop { reason: StopReason::NewRelease, .. });
                let steps = plan(&desired, &world.dynos, world.now);
                let stops_what_answers = steps.iter().any(|step| {
                    let Step::Stop { dyno, .. } = step else { return false };
                    let dyno = world.dyno_now(*dyno);
                    ends(step) && dyno.state == DynoState::Up && newest.is_none_or(|newest| newest <= dyno.version)
                });
                proptest::prop_assert!(!stops_what_answers, "{:?}", world.dynos);
                world.carry_out(&desired);
            }
            world.now = world.now + Duration::from_secs(601);
            world.settle(&desired(number, quantity));
            let expected: Vec<_> = (1..=quantity).map(|index| format!("web.{index} Up")).collect();
            proptest::prop_assert_eq!(world.names(), expected);
        }
    }

    #[test]
    fn a_web_dyno_that_does_not_listen_in_time_has_crashed() {
        let mut world = World::new();
        world.carry_out(&desired(1, 1));
        world.now = world.now + BOOT_TIMEOUT;
        world.carry_out(&desired(1, 1));
        assert_eq!(world.names(), ["web.1 Crashed"]);
        assert_eq!(world.carry_out(&desired(1, 1)), 0, "it waits for its next try");
        world.now = world.now + Duration::from_secs(600);
        world.settle(&desired(1, 1));
        assert_eq!(world.names(), ["web.1 Up"]);
    }

    #[test]
    fn what_is_under_way_is_left_alone_and_holds_its_name() {
        let mut world = World::new();
        world.settle(&desired(1, 2));
        for state in DynoState::ALL {
            let dyno = &mut world.dynos[0];
            (dyno.state, dyno.seen, dyno.retry_at) = (state, Seen::UnderWay, Some(UnixMicros(0)));
            assert_eq!(world.carry_out(&desired(1, 2)), 0, "{state:?}");
        }
        world.carry_out(&desired(1, 0));
        assert_eq!(world.dynos[0].seen, Seen::UnderWay, "a start that is not wanted any more ends first");
        world.dynos[0].seen = Seen::Running { listening: false };
        world.settle(&desired(1, 0));
        assert!(world.names().is_empty());
    }

    #[test]
    fn after_a_start_of_the_machine_all_begin_anew_and_none_has_crashed() {
        let mut world = World::new();
        world.settle(&desired(1, 2));
        let before: Vec<_> = world.dynos.iter().map(|dyno| dyno.id).collect();
        for dyno in &mut world.dynos {
            dyno.seen = Seen::Absent;
        }
        world.settle(&desired(1, 2));
        assert_eq!(world.names(), ["web.1 Up", "web.2 Up"]);
        assert!(world.dynos.iter().all(|dyno| !before.contains(&dyno.id)));
    }

    #[test]
    fn an_asked_for_restart_makes_a_new_dyno_of_the_same_name() {
        let mut world = World::new();
        world.settle(&desired(1, 1));
        let old = world.dynos[0].id;
        world.dyno(old).ending = true;
        world.settle(&desired(1, 1));
        assert_eq!(world.names(), ["web.1 Up"]);
        assert_ne!(world.dynos[0].id, old);
    }
}
