//! Clients of one-off dynos that are connected to this process.
//!
//! An attached dyno starts when its client has come and is not forgotten while the client is there: a program that
//! ends at once would otherwise be gone, with its output, before anybody could read it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use paddock_core::DynoId;

/// How many clients each dyno has that has some.
#[derive(Debug, Default, Clone)]
pub(crate) struct Clients(Arc<Mutex<HashMap<DynoId, usize>>>);

/// A client that is there; gone when dropped.
#[derive(Debug)]
pub(crate) struct Client {
    clients: Clients,
    dyno: DynoId,
}

impl Clients {
    /// A client of this dyno has come.
    pub(crate) fn enter(&self, dyno: DynoId) -> Client {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(dyno).or_default() += 1;
        Client { clients: self.clone(), dyno }
    }

    /// Whether a client of this dyno is there.
    pub(crate) fn has(&self, dyno: DynoId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&dyno)
    }

    /// The dynos that have a client now.
    pub(crate) fn present(&self) -> HashSet<DynoId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut clients = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let (clients, dyno) = (Clients::default(), DynoId::from_uuid(uuid::Uuid::now_v7()));
        let (one, other) = (clients.enter(dyno), clients.enter(dyno));
        drop(one);
        assert!(clients.has(dyno) && clients.present().contains(&dyno));
        drop(other);
        assert!(!clients.has(dyno) && clients.present().is_empty());
    }
}
