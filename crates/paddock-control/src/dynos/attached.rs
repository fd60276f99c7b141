//! Clients of one-off dynos that are connected to this process.
//!
//! An attached dyno starts when its client has come and is not forgotten while the client is there: a program that
//! ends at once would otherwise be gone, with its output, before anybody could read it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use paddock_core::DynoId;

use crate::kernel::wake::Wakes;

/// How many clients each dyno has that has some.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    there: Arc<Mutex<HashMap<DynoId, usize>>>,
    wakes: Arc<Wakes>,
}

/// A client that is there; gone when dropped.
#[derive(Debug)]
pub(crate) struct Client {
    clients: Clients,
    dyno: DynoId,
}

impl Clients {
    pub(crate) fn new(wakes: Arc<Wakes>) -> Self {
        Self { there: Arc::default(), wakes }
    }

    /// A client of this dyno has come: whoever waits for it is woken.
    pub(crate) fn enter(&self, dyno: DynoId) -> Client {
        *self.there.lock().unwrap_or_else(PoisonError::into_inner).entry(dyno).or_default() += 1;
        self.wakes.dynos.wake();
        Client { clients: self.clone(), dyno }
    }

    /// Whether a client of this dyno is there.
    pub(crate) fn has(&self, dyno: DynoId) -> bool {
        self.there.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&dyno)
    }

    /// The dynos that have a client now.
    pub(crate) fn present(&self) -> HashSet<DynoId> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut clients = self.clients.there.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = clients.entry(self.dyno) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dyno_has_a_client_until_the_last_one_goes() {
        let (clients, dyno) = (Clients::new(Arc::default()), DynoId::from_uuid(uuid::Uuid::now_v7()));
        let (one, other) = (clients.enter(dyno), clients.enter(dyno));
        drop(one);
        assert!(clients.has(dyno) && clients.present().contains(&dyno));
        drop(other);
        assert!(!clients.has(dyno) && clients.present().is_empty());
    }
}
