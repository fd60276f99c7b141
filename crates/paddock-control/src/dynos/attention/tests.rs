use paddock_core::AppId;
use uuid::Uuid;

use super::*;

const NOW: UnixMicros = UnixMicros(1_800_000_000_000_000);

fn id(number: u128) -> AppId {
    AppId::from_uuid(Uuid::from_u128(number))
}

fn container(number: u128) -> ContainerId {
    ContainerId::from_uuid(Uuid::from_u128(number))
}

/// What passes see, and what they remember.
struct Passes {
    attention: Attention,
    touched: BTreeSet<AppId>,
    containers: HashMap<ContainerId, (AppId, Mark)>,
    clients: HashSet<DynoId>,
    places: HashSet<ErrandKind>,
}

impl Passes {
    fn new() -> Self {
        let places = [ErrandKind::Start, ErrandKind::End].into();
        let (attention, containers) = (Attention::default(), HashMap::new());
        Self { attention, touched: BTreeSet::new(), containers, clients: HashSet::new(), places }
    }

    /// After the first round.
    fn later() -> Self {
        let mut passes = Self::new();
        passes.over(Some(Page::first()));
        passes
    }

    fn runs(&mut self, number: u128, app: u128, seen: State) {
        let mark = Mark { seen: Some(seen), is_drained: false, under_way: false };
        self.containers.insert(container(number), (id(app), mark));
    }

    fn signs(&self) -> Signs {
        let (containers, clients) = (self.containers.clone(), self.clients.clone());
        Signs { containers, clients, places: self.places.clone() }
    }

    fn wanted_at(&self, now: UnixMicros) -> Vec<AppId> {
        self.attention.wanted(now, &self.touched, &self.signs()).into_iter().collect()
    }

    fn wanted(&self) -> Vec<AppId> {
        self.wanted_at(NOW)
    }

    fn looked(&mut self, app: u128, looked: Looked) {
        self.attention.looked(id(app), looked, NOW);
    }

    /// The pass is over, perhaps with a step of the round.
    fn over(&mut self, next: Option<Page>) {
        self.attention.saw(self.signs(), next);
    }
}

fn at_rest() -> Looked {
    Looked { is_at_rest: true, ..Looked::default() }
}

#[test]
fn what_the_first_round_comes_to_by_itself_is_not_wanted_besides() {
    let mut passes = Passes::new();
    passes.touched = [id(1), id(999)].into();
    passes.runs(5, 999, State::Running);
    assert_eq!(passes.wanted(), []);
    assert_eq!(passes.attention.again_in(), Some(Duration::ZERO));
    let page = passes.attention.page().unwrap();
    let next = Page { after: Some(id(100)), ..page };
    assert_eq!(passes.signs().in_page(page, next).collect::<Vec<_>>(), []);
    passes.over(Some(next));
    assert_eq!(passes.wanted(), [id(1)], "it changed after the round had come to it");
    // The last step comes to all that is behind it, whether it is in the store or not.
    assert_eq!(passes.signs().in_page(next, Page::first()).collect::<Vec<_>>(), [id(999)]);
    passes.over(Some(Page::first()));
    assert_eq!(passes.wanted(), [1, 999].map(id));
    assert_eq!(passes.attention.again_in(), None);
}

#[test]
fn one_with_something_in_motion_is_looked_at_when_it_is_due() {
    let mut passes = Passes::later();
    passes.looked(1, Looked { again_in: Some(Duration::from_secs(600)), ..at_rest() });
    passes.looked(2, Looked::default());
    passes.looked(3, Looked { again_in: Some(Duration::from_millis(30)), ..Looked::default() });
    passes.looked(4, at_rest());
    assert_eq!(passes.wanted(), []);
    assert!(passes.attention.again_in().is_some_and(|again_in| again_in <= Duration::from_millis(30)));
    assert_eq!(passes.wanted_at(NOW + IN_MOTION), [2, 3].map(id));
    assert_eq!(passes.wanted_at(NOW + Duration::from_secs(600)), [1, 2, 3].map(id));
    assert!(!passes.attention.watched.contains_key(&id(4)), "nothing is kept of apps at rest");
    // A clock that was put back tells nothing; the other one does.
    let due = Due { at: NOW + Duration::from_secs(3600), or: Instant::now() };
    passes.attention.watched.get_mut(&id(1)).unwrap().due = Some(due);
    assert_eq!(passes.wanted(), [id(1)]);
}

#[test]
fn a_container_or_a_client_that_is_not_as_it_was_is_looked_into() {
    let mut passes = Passes::later();
    passes.runs(11, 1, State::Running);
    passes.runs(12, 2, State::Running);
    assert_eq!(passes.wanted(), [1, 2].map(id), "new");
    passes.over(None);
    assert_eq!(passes.wanted(), []);
    passes.runs(11, 1, State::Exited);
    assert_eq!(passes.wanted(), [id(1)]);
    passes.over(None);
    passes.containers.get_mut(&container(11)).unwrap().1.is_drained = true;
    assert_eq!(passes.wanted(), [id(1)]);
    passes.over(None);
    passes.containers.get_mut(&container(11)).unwrap().1.under_way = true;
    assert_eq!(passes.wanted(), [id(1)]);
    passes.over(None);
    passes.containers.remove(&container(12));
    assert_eq!(passes.wanted(), [id(2)], "gone");
    passes.over(None);

    let dyno = DynoId::from_uuid(Uuid::from_u128(21));
    passes.looked(3, Looked { attached: vec![dyno], ..Looked::default() });
    passes.clients.insert(dyno);
    assert_eq!(passes.wanted(), [id(3)], "its client has come");
    passes.over(None);
    assert_eq!(passes.wanted(), []);
    passes.clients.remove(&dyno);
    assert_eq!(passes.wanted(), [id(3)], "and has left");
}

#[test]
fn who_waits_for_a_place_is_looked_at_while_there_is_one() {
    let mut passes = Passes::later();
    let denied = |kind| Looked { denied: [kind].into(), ..Looked::default() };
    for number in 1..=100 {
        passes.looked(number, denied(ErrandKind::Start));
    }
    passes.looked(200, denied(ErrandKind::End));
    let some: Vec<_> = (1..=WAITING_AT_ONCE as u128).chain([200]).map(id).collect();
    assert_eq!(passes.wanted(), some);
    assert_eq!(passes.wanted_at(NOW + IN_MOTION), some, "and not for the time that passes");
    passes.places.remove(&ErrandKind::Start);
    assert_eq!(passes.wanted(), [id(200)], "starts that hang hold no end up");
    passes.places.clear();
    assert_eq!(passes.wanted(), []);

    // Who has had a place waits for the next one behind the others.
    passes.looked(1, Looked { has_begun: true, ..denied(ErrandKind::Start) });
    passes.looked(2, denied(ErrandKind::Start));
    passes.looked(200, at_rest());
    let waiting: Vec<_> = passes.attention.starts.first(3).collect();
    assert_eq!(waiting, [2, 3, 4].map(id));
    assert_eq!(passes.attention.starts.waiting.values().last(), Some(&id(1)));
    assert_eq!(passes.attention.ends.first(1).next(), None);
}

#[test]
fn nothing_is_kept_of_an_app_that_is_gone() {
    let mut passes = Passes::later();
    passes.looked(1, Looked { denied: [ErrandKind::Start].into(), ..Looked::default() });
    passes.attention.is_gone(
        id(1),
        &Looked { denied: [ErrandKind::End].into(), ..Looked::default() },
        UnixMicros(0),
    );
    assert_eq!(passes.attention.starts.first(1).next(), None);
    assert_eq!(passes.attention.ends.first(1).next(), Some(id(1)), "its containers have still to end");
    passes.attention.is_gone(id(1), &Looked { has_begun: true, ..Looked::default() }, UnixMicros(0));
    assert!(passes.attention.watched[&id(1)].due.is_some(), "what was begun to end it may fail");
    passes.attention.is_gone(id(1), &Looked::default(), UnixMicros(0));
    assert!(passes.attention.ends.tickets.is_empty() && passes.attention.watched.is_empty());
}
