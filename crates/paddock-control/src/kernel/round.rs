//! A round through all apps of this server, a page at a time, for what nobody said: no look costs more for there being many.

use std::time::{Duration, Instant};

use paddock_core::AppId;
use paddock_store::App;

/// Apps of one step of a round that is in a hurry, as after a start: all of them, in a moment.
const AT_ONCE: u32 = 256;
/// Apps of one step of every later round, and the time between two: five thousand in five minutes.
const SLOWLY: u32 = 64;
const STEP: Duration = Duration::from_secs(4);

/// Some apps: those after one, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// From the first one on for `None`.
    pub(crate) after: Option<AppId>,
    pub(crate) max: u32,
}

impl Page {
    /// From the first app on, as many at once as is good.
    pub(crate) fn first() -> Self {
        Self { after: None, max: AT_ONCE }
    }

    /// The page after this one, which had these apps; the first one again where there is none.
    pub(crate) fn next(self, found: &[App]) -> Self {
        let is_full = u32::try_from(found.len()).is_ok_and(|found| found >= self.max);
        Self { after: found.last().map(|app| app.id).filter(|_| is_full), max: self.max }
    }
}

/// How far a round has come, and the next one after it.
#[derive(Debug)]
pub(crate) struct Round {
    after: Option<AppId>,
    is_first: bool,
    stepped: Instant,
}

impl Round {
    /// Comes to every app at once, and slowly again and again from then on.
    pub(crate) fn at_once() -> Self {
        Self { after: None, is_first: true, stepped: Instant::now() }
    }

    /// Comes to every app slowly, again and again.
    pub(crate) fn slowly() -> Self {
        Self { is_first: false, ..Self::at_once() }
    }

    /// Whether it has still to come to some app for the first time.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether it comes to this app by itself before long.
    pub(crate) fn comes_to(&self, app: AppId) -> bool {
        self.is_first && self.after.is_none_or(|after| app > after)
    }

    /// The step that is due, if one is.
    pub(crate) fn page(&self) -> Option<Page> {
        let max = if self.is_first { AT_ONCE } else { SLOWLY };
        (self.is_first || self.stepped.elapsed() >= STEP).then_some(Page { after: self.after, max })
    }

    /// A step was taken, and this page is the next.
    pub(crate) fn stepped(&mut self, next: Page) {
        self.after = next.after;
        self.is_first &= next.after.is_some();
        self.stepped = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use paddock_core::stack::Stack;
    use paddock_core::{AccountId, UnixMicros};
    use uuid::Uuid;

    use super::*;

    fn id(number: u32) -> AppId {
        AppId::from_uuid(Uuid::from_u128(number.into()))
    }

    fn apps(numbers: std::ops::RangeInclusive<u32>) -> Vec<App> {
        let app = |number| App {
            id: id(number),
            name: format!("app-{number}").parse().unwrap(),
            owner_id: AccountId::from_uuid(Uuid::nil()),
            stack: Stack::HOST,
            build_stack: Stack::HOST,
            maintenance: false,
            generation: 1,
            id_range: 0,
            next_version: 1,
            current_release_id: None,
            repo_bytes: None,
            slug_bytes: None,
            server_id: None,
            created_at: UnixMicros(0),
            updated_at: UnixMicros(0),
            released_at: None,
        };
        numbers.map(app).collect()
    }

    #[test]
    fn a_first_round_comes_to_every_app_at_once_and_later_ones_take_their_time() {
        let mut round = Round::at_once();
        let first = round.page().unwrap();
        assert_eq!(first, Page::first());
        round.stepped(first.next(&apps(1..=AT_ONCE)));
        assert!(round.is_first() && round.comes_to(id(1000)) && !round.comes_to(id(AT_ONCE)));
        let second = round.page().unwrap();
        assert_eq!(second, Page { after: Some(id(AT_ONCE)), max: AT_ONCE });
        round.stepped(second.next(&apps(1000..=1000)));
        assert!(!round.is_first() && !round.comes_to(id(1000)));
        assert_eq!(round.page(), None);
        round.stepped = Instant::now().checked_sub(STEP).unwrap();
        assert_eq!(round.page(), Some(Page { after: None, max: SLOWLY }), "from the first one again");
    }

    #[test]
    fn a_round_without_hurry_begins_with_a_wait() {
        let mut round = Round::slowly();
        assert_eq!((round.page(), round.is_first()), (None, false));
        round.stepped = Instant::now().checked_sub(STEP).unwrap();
        let page = round.page().unwrap();
        round.stepped(page.next(&apps(1..=SLOWLY)));
        round.stepped = Instant::now().checked_sub(STEP).unwrap();
        assert_eq!(round.page(), Some(Page { after: Some(id(SLOWLY)), max: SLOWLY }));
    }
}
