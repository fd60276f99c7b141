//! How much of one kind goes on at once, of one owner and of all: nobody takes what the others need.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Turns by owner.
#[derive(Debug, Clone)]
pub struct Turns<Owner> {
    of_one: usize,
    in_all: usize,
    held: Arc<Mutex<HashMap<Owner, usize>>>,
}

/// A turn that goes on; over when dropped.
#[derive(Debug)]
#[must_use = "the turn is over when this is dropped"]
pub struct Turn<Owner: Eq + Hash> {
    held: Arc<Mutex<HashMap<Owner, usize>>>,
    owner: Owner,
}

impl<Owner: Eq + Hash + Copy> Turns<Owner> {
    /// At most `of_one` turns of one owner and `in_all` of all together.
    #[must_use]
    pub fn new(of_one: usize, in_all: usize) -> Self {
        Self { of_one, in_all, held: Arc::default() }
    }

    /// One more turn for this owner, if there is one left.
    pub fn begin(&self, owner: Owner) -> Option<Turn<Owner>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.get(&owner).copied().unwrap_or_default();
        if own >= self.of_one || held.values().sum::<usize>() >= self.in_all {
            return None;
        }
        held.insert(owner, own + 1);
        Some(Turn { held: Arc::clone(&self.held), owner })
    }
}

impl<Owner: Eq + Hash> Drop for Turn<Owner> {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_leaves_turns_for_others_and_gets_its_own_back() {
        let turns = Turns::new(3, 5);
        let mut held: Vec<_> = std::iter::from_fn(|| turns.begin("greedy")).collect();
        assert_eq!(held.len(), 3);
        assert!(turns.begin("other").is_some());
        held.pop();
        assert!(turns.begin("greedy").is_some());
    }

    #[test]
    fn there_is_an_end_for_all_together() {
        let turns = Turns::new(3, 5);
        let mut owners = 0..;
        let held: Vec<_> = std::iter::from_fn(|| turns.begin(owners.next()?)).collect();
        assert_eq!(held.len(), 5);
        drop(held);
        assert!(turns.begin(0).is_some());
        assert!(turns.held.lock().unwrap().is_empty(), "who has ended is forgotten");
    }
}
