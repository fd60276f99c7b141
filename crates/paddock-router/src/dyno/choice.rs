//! The choice among the dynos that are up.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::dyno::Dyno;

/// One of `dynos`, each equally likely, that is not in quarantine.
pub(crate) fn choose(dynos: &[Arc<Dyno>]) -> Option<&Arc<Dyno>> {
    let any = dynos.get(random_below(dynos.len())?)?;
    if any.quarantined_for().is_zero() {
        return Some(any);
    }
    let free = || dynos.iter().filter(|dyno| dyno.quarantined_for().is_zero());
    let count = free().count();
    // A quarantine may end between the two passes; whichever dyno is met then will do.
    free().nth(random_below(count)?).or_else(|| free().next())
}

/// A number below `bound`; `None` when there is none. For spreading load, not for secrets.
fn random_below(bound: usize) -> Option<usize> {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8));
    }
    // splitmix64
    let mut mixed = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(mixed);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // The bias of the remainder is below one in 2^50 for any number of dynos.
    usize::try_from(mixed % u64::try_from(bound).ok().filter(|bound| *bound > 0)?).ok()
}

#[cfg(test)]
mod tests {
    use paddock_ipc::routes::DynoRoute;

    use super::*;
    use crate::limits::Limits;

    fn dynos(count: usize) -> Vec<Arc<Dyno>> {
        let route = |n: usize| DynoRoute {
            name: format!("web.{n}"),
            id: n.to_string(),
            address: ([127, 0, 0, 1], 1).into(),
        };
        (0..count).map(|n| Arc::new(Dyno::new(&route(n)))).collect()
    }

    #[test]
    fn the_choice_is_about_even_and_leaves_out_quarantined_ones() {
        let dynos = dynos(4);
        let mut chosen = [0; 4];
        for _ in 0..4000 {
            let id: usize = choose(&dynos).unwrap().id.parse().unwrap();
            chosen[id] += 1;
        }
        assert!(chosen.iter().all(|count| (800..1200).contains(count)), "{chosen:?}");

        let limits = Limits::heroku();
        for dyno in &dynos[..3] {
            dyno.quarantine(&limits);
        }
        assert!((0..100).all(|_| choose(&dynos).unwrap().id == "3"));
        dynos[3].quarantine(&limits);
        assert!(choose(&dynos).is_none());
        assert!(choose(&[]).is_none());
    }
}
