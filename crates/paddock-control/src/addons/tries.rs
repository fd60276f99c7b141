//! What did not work, or has not come about yet: when it is due again, and what of it is worth a warning.
//!
//! Kept in memory: a start of the server tries everything at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use paddock_core::UnixMicros;
use paddock_core::plan::data_server::{is_ahead, look_again, wait_after};

/// How one thing went.
struct Try {
    since: UnixMicros,
    /// How often it was begun without an end.
    in_a_row: u32,
    due: UnixMicros,
    /// Why it failed last.
    reason: String,
}

/// What is tried again, by what it is.
pub(super) struct Tries<K>(Mutex<HashMap<K, Try>>);

impl<K> Default for Tries<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone> Tries<K> {
    /// How long it is until this is to be tried; `None` when it is due.
    pub(super) fn wait(&self, key: &K, now: UnixMicros) -> Option<Duration> {
        let tries = self.lock();
        let due = tries.get(key)?.due;
        is_ahead(due, now).then(|| due.since(now))
    }

    /// It is tried now. What breaks off without a word counts as what failed.
    pub(super) fn begin(&self, key: &K, now: UnixMicros) {
        let mut tries = self.lock();
        let one = tries.entry(key.clone()).or_insert_with(|| Try::new(now));
        one.in_a_row = one.in_a_row.saturating_add(1);
        one.due = now + wait_after(one.in_a_row);
    }

    /// It works.
    pub(super) fn succeeded(&self, key: &K) {
        self.lock().remove(key);
    }

    /// It failed, of what was begun: how soon to try again, and whether that is worth a warning: the first time, at growing
    /// distances, and where the reason is another one.
    pub(super) fn failed(&self, key: &K, reason: &str, now: UnixMicros) -> (Duration, bool) {
        let mut tries = self.lock();
        let one = tries.entry(key.clone()).or_insert_with(|| Try::new(now));
        let is_new = one.reason != reason;
        if is_new {
            reason.clone_into(&mut one.reason);
        }
        (one.due.since(now), is_new || one.in_a_row.is_power_of_two())
    }

    /// It has not come about yet: how soon to look again.
    pub(super) fn not_yet(&self, key: &K, now: UnixMicros) -> Duration {
        let mut tries = self.lock();
        let one = tries.entry(key.clone()).or_insert_with(|| Try::new(now));
        let again = look_again(now.since(one.since));
        one.due = now + again;
        again
    }

    /// Forgets what is not to be done any more.
    pub(super) fn keep(&self, is_wanted: impl Fn(&K) -> bool) {
        self.lock().retain(|key, _| is_wanted(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Try>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Try {
    fn new(now: UnixMicros) -> Self {
        Self { since: now, in_a_row: 0, due: now, reason: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> UnixMicros {
        UnixMicros(1_000_000) + Duration::from_secs(number)
    }

    #[test]
    fn what_fails_is_tried_at_growing_distances_and_told_as_seldom() {
        let tries = Tries::<u8>::default();
        let (mut now, mut told, mut tried) = (second(0), Vec::new(), 0);
        while now < second(3600) {
            assert_eq!(tries.wait(&1, now), None);
            tries.begin(&1, now);
            tried += 1;
            let (wait, is_worth_it) = tries.failed(&1, "it is full", now);
            if is_worth_it {
                told.push(tried);
            }
            if wait > Duration::ZERO {
                assert_eq!(tries.wait(&1, now), Some(wait));
            }
            now = now + wait;
        }
        assert!((60..70).contains(&tried), "{tried}");
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64]);
        tries.begin(&1, now);
        assert!(tries.failed(&1, "it is gone", now).1, "another reason is told");
        tries.succeeded(&1);
        assert_eq!(tries.wait(&1, now), None);
        tries.begin(&1, now);
        assert_eq!(tries.failed(&1, "it is gone", now), (Duration::ZERO, true), "it begins anew");
    }

    #[test]
    fn what_breaks_off_leaves_room_to_others_and_is_due_later() {
        let tries = Tries::<u8>::default();
        tries.begin(&1, second(0));
        tries.begin(&1, second(0));
        assert_eq!(tries.wait(&1, second(0)), Some(Duration::from_secs(1)));
        assert_eq!(tries.wait(&2, second(0)), None);
        tries.keep(|key| *key == 2);
        assert_eq!(tries.wait(&1, second(0)), None);
    }

    #[test]
    fn what_has_not_come_about_is_looked_for_less_and_less() {
        let tries = Tries::<u8>::default();
        assert_eq!(tries.not_yet(&1, second(0)), Duration::from_millis(50));
        assert_eq!(tries.wait(&1, second(0)), Some(Duration::from_millis(50)));
        assert_eq!(tries.not_yet(&1, second(5)), Duration::from_millis(50));
        assert_eq!(tries.not_yet(&1, second(600)), Duration::from_secs(10));
    }
}
