//! Which apps a pass looks at: those that a transaction touched, those whose time has come, those whose containers or
//! clients are not as they were; of the rest, a few at a time.
//!
//! Nothing here is truth, and all of it may be forgotten: what is stored and what runs is seen anew by each pass, and the
//! round comes to every app, at once after a start and slowly from then on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use paddock_core::plan::errands;
use paddock_core::{AppId, ContainerId, DynoId, UnixMicros};
use paddock_runtime::ContainerState;

use crate::dynos::errands::{ErrandKind, UnderWay};
use crate::dynos::sight::Sight;
use crate::kernel::drained::Drained;
use crate::kernel::round::{Page, Round};

/// How soon an app is looked at again that has something in motion, when nothing else tells.
const IN_MOTION: Duration = Duration::from_secs(2);
/// Most apps that wait for a place of one kind and are looked at by one pass.
const WAITING_AT_ONCE: usize = 4 * errands::AT_ONCE;

/// What the passes remember of apps from one to the next. An app with nothing in motion is not in it.
pub(super) struct Attention {
    watched: HashMap<AppId, Watched>,
    containers: HashMap<ContainerId, (AppId, Mark)>,
    clients: HashSet<DynoId>,
    starts: Queue,
    ends: Queue,
    round: Round,
}

/// An app with something in motion.
struct Watched {
    due: Option<Due>,
    /// Dynos that are for a client.
    attached: Vec<DynoId>,
}

/// When to look again, by both clocks: one of them may be set, and a test sets it.
#[derive(Clone, Copy)]
struct Due {
    at: UnixMicros,
    or: Instant,
}

impl Due {
    fn has_come(self, now: UnixMicros) -> bool {
        self.at <= now || self.or <= Instant::now()
    }
}

/// What of a container makes a difference.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    seen: Option<State>,
    is_drained: bool,
    under_way: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Running,
    Exited,
}

/// The containers of dynos, and the clients of dynos, as one pass sees them.
pub(super) struct Signs {
    containers: HashMap<ContainerId, (AppId, Mark)>,
    clients: HashSet<DynoId>,
    /// Places for errands that are free.
    places: HashSet<ErrandKind>,
}

impl Signs {
    pub(super) fn of(sight: &Sight, under_way: &UnderWay, drained: &Drained) -> Self {
        let begun = under_way.iter().map(|(id, (app, _))| (*id, *app));
        let there = sight.dynos.iter().flat_map(|(app, ids)| ids.iter().map(|id| (*id, *app)));
        let mark = |id: &ContainerId| Mark {
            seen: sight.containers.get(id).map(|observed| match observed.state {
                ContainerState::Unknown => State::Unknown,
                ContainerState::Running => State::Running,
                ContainerState::Exited { .. } => State::Exited,
            }),
            is_drained: drained.contains(*id),
            under_way: under_way.contains_key(id),
        };
        let containers = begun.chain(there).map(|(id, app)| (id, (app, mark(&id)))).collect();
        let count = |kind| under_way.values().filter(|(_, other)| *other == kind).count();
        let kinds = [ErrandKind::Start, ErrandKind::End].into_iter();
        let places = kinds.filter(|kind| count(*kind) < errands::AT_ONCE).collect();
        Self { containers, clients: sight.had_client.clone(), places }
    }

    /// Apps with containers that a step of the round would have come to, if they were there.
    pub(super) fn in_page(&self, page: Page, next: Page) -> impl Iterator<Item = AppId> {
        let with_containers = self.containers.values().map(|(app, _)| *app);
        with_containers.filter(move |app| {
            page.after.is_none_or(|after| *app > after) && next.after.is_none_or(|last| *app <= last)
        })
    }
}

/// What became of a look at an app.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Nothing of it will change by itself.
    pub(super) is_at_rest: bool,
    pub(super) again_in: Option<Duration>,
    /// One of its errands was begun.
    pub(super) has_begun: bool,
    /// Errands that found no place.
    pub(super) denied: BTreeSet<ErrandKind>,
    /// Dynos that are for a client.
    pub(super) attached: Vec<DynoId>,
}

impl Default for Attention {
    fn default() -> Self {
        Self {
            watched: HashMap::new(),
            containers: HashMap::new(),
            clients: HashSet::new(),
            starts: Queue::default(),
            ends: Queue::default(),
            round: Round::at_once(),
        }
    }
}

impl Attention {
    /// The step of the round that is due, if one is.
    pub(super) fn page(&self) -> Option<Page> {
        self.round.page()
    }

    /// The apps that a pass looks at by themselves. Those that the first round has still to come to are left to it.
    pub(super) fn wanted(
        &self,
        now: UnixMicros,
        touched: &BTreeSet<AppId>,
        signs: &Signs,
    ) -> BTreeSet<AppId> {
        let touched = touched.iter().copied().chain(self.changed(signs));
        let mut wanted: BTreeSet<_> = touched.filter(|app| !self.round.comes_to(*app)).collect();
        let is_due = |watched: &Watched| watched.due.is_some_and(|due| due.has_come(now));
        wanted.extend(self.watched.iter().filter(|(_, watched)| is_due(watched)).map(|(app, _)| *app));
        for (kind, queue) in [(ErrandKind::Start, &self.starts), (ErrandKind::End, &self.ends)] {
            if signs.places.contains(&kind) {
                wanted.extend(queue.first(WAITING_AT_ONCE));
            }
        }
        wanted
    }

    /// Apps of which a container, or a client of one, is not as it was.
    fn changed<'a>(&'a self, signs: &'a Signs) -> impl Iterator<Item = AppId> + 'a {
        let other = signs.containers.iter().filter(|(id, seen)| self.containers.get(id) != Some(seen));
        let gone = self.containers.iter().filter(|(id, _)| !signs.containers.contains_key(id));
        let of_containers = other.chain(gone).map(|(_, (app, _))| *app);
        let is_other = |dyno: &DynoId| self.clients.contains(dyno) != signs.clients.contains(dyno);
        let of_clients =
            self.watched.iter().filter(move |(_, watched)| watched.attached.iter().any(is_other));
        of_containers.chain(of_clients.map(|(app, _)| *app))
    }

    /// The pass is over: what it saw is what the next one compares with.
    pub(super) fn saw(&mut self, signs: Signs, next: Option<Page>) {
        (self.containers, self.clients) = (signs.containers, signs.clients);
        if let Some(next) = next {
            self.round.stepped(next);
        }
    }

    pub(super) fn looked(&mut self, app: AppId, looked: Looked, now: UnixMicros) {
        self.queue(app, &looked);
        let again_in = match looked.is_at_rest || !looked.denied.is_empty() {
            // It is looked at when its time has come, or when a place is free.
            true => looked.again_in,
            false => Some(looked.again_in.map_or(IN_MOTION, |again_in| again_in.min(IN_MOTION))),
        };
        let due = again_in.map(|wait| Due { at: now + wait, or: Instant::now() + wait });
        match due.is_none() && looked.attached.is_empty() {
            true => drop(self.watched.remove(&app)),
            false => drop(self.watched.insert(app, Watched { due, attached: looked.attached })),
        }
    }

    /// There is no such app any more, and something of it may still be there: what was begun to end it may fail.
    pub(super) fn is_gone(&mut self, app: AppId, looked: &Looked, now: UnixMicros) {
        self.queue(app, looked);
        match looked.has_begun {
            true => {
                let due = Some(Due { at: now + IN_MOTION, or: Instant::now() + IN_MOTION });
                self.watched.insert(app, Watched { due, attached: Vec::new() });
            }
            false => drop(self.watched.remove(&app)),
        }
    }

    fn queue(&mut self, app: AppId, looked: &Looked) {
        for (kind, queue) in [(ErrandKind::Start, &mut self.starts), (ErrandKind::End, &mut self.ends)] {
            match looked.denied.contains(&kind) {
                true => queue.enter(app, looked.has_begun),
                false => queue.leave(app),
            }
        }
    }

    /// How soon the next pass has something to look at, as far as is known.
    pub(super) fn again_in(&self) -> Option<Duration> {
        let now = Instant::now();
        let due =
            self.watched.values().filter_map(|watched| Some(watched.due?.or.saturating_duration_since(now)));
        let round = self.round.is_first().then_some(Duration::ZERO);
        due.chain(round).min()
    }
}

/// Apps that wait for a place for an errand, who has waited longest first.
#[derive(Default)]
struct Queue {
    waiting: BTreeMap<u64, AppId>,
    tickets: HashMap<AppId, u64>,
    next: u64,
}

impl Queue {
    /// Waits, at the end of the queue if it has just had a place.
    fn enter(&mut self, app: AppId, has_had_one: bool) {
        if has_had_one {
            self.leave(app);
        }
        if !self.tickets.contains_key(&app) {
            self.next += 1;
            self.tickets.insert(app, self.next);
            self.waiting.insert(self.next, app);
        }
    }

    fn leave(&mut self, app: AppId) {
        if let Some(ticket) = self.tickets.remove(&app) {
            self.waiting.remove(&ticket);
        }
    }

    fn first(&self, count: usize) -> impl Iterator<Item = AppId> {
        self.waiting.values().copied().take(count)
    }
}

#[cfg(test)]
mod tests;
