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
