//! The choice among the dynos that are up.

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
    (bound > 0).then(|| fastrand::usize(..bound))
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
