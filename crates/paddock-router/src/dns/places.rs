//! Places for questions on their way. Nobody has more than a share of them, so nobody's questions are dropped for another's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) struct Places {
    all: usize,
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// A place, free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    client: IpAddr,
}

impl Places {
    pub(super) fn new(all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { all, of_one, taken: Mutex::default() })
    }

    /// One for a client; `None` when it has its share, or all are taken.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        let of_client = taken.by.get(&client).copied().unwrap_or_default();
        if taken.all >= self.all || of_client >= self.of_one {
            return None;
        }
        taken.all += 1;
        taken.by.insert(client, of_client + 1);
        Some(Place { places: self.clone(), client })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(of_client) = taken.by.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                taken.by.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_a_share_and_all_are_free_again() {
        let [one, other, third] = [1, 2, 3].map(|end| IpAddr::from([10, 0, 0, end]));
        let places = Places::new(5, 2);
        let mut held: Vec<Place> = [one, one, other, other].map(|who| places.take(who).unwrap()).into();
        assert!(places.take(one).is_none(), "its share");
        held.extend(places.take(third));
        assert!(places.take(third).is_none(), "all are taken");
        drop(held);
        assert!(places.taken().by.is_empty() && places.taken().all == 0);
        assert!(places.take(one).is_some());
    }
}
