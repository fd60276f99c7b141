//! Which errands (starts, or ends, of containers) may begin now, beside those that are under way.
//!
//! A start can hang for a minute on a disk or a network. So only a few run at a time, which spares the machine, and no
//! app may hold all the places, which spares the other apps. What has no place waits in the store and is asked for again.

use crate::id::AppId;

/// Most errands of a kind at a time.
pub const AT_ONCE: usize = 4;
/// Most errands of a kind at a time for one app.
pub const AT_ONCE_OF_APP: usize = 2;

/// Picks from `waiting`, whose first has waited longest, what begins now; answers positions in it. `under_way` and
/// `waiting` name the app of each errand. The app with the fewest under way comes first.
#[must_use]
pub fn pick(waiting: &[AppId], under_way: &[AppId]) -> Vec<usize> {
    let mut busy = under_way.to_vec();
    let mut picked = Vec::new();
    while busy.len() < AT_ONCE {
        let of_app = |app: &AppId| busy.iter().filter(|other| *other == app).count();
        let next = (0..waiting.len())
            .filter(|position| !picked.contains(position))
            .map(|position| (of_app(&waiting[position]), position))
            .filter(|(of_app, _)| *of_app < AT_ONCE_OF_APP)
            .min();
        let Some((_, position)) = next else { break };
        busy.push(waiting[position]);
        picked.push(position);
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn apps<const N: usize>(numbers: [u128; N]) -> [AppId; N] {
        numbers.map(|number| AppId::from_uuid(Uuid::from_u128(number)))
    }

    #[test]
    fn some_begin_and_the_rest_wait() {
        assert_eq!(pick(&apps([1, 2, 3, 4, 5]), &[]), [0, 1, 2, 3]);
        assert_eq!(pick(&apps([1, 2]), &apps([3, 4, 5])), [0]);
        assert!(pick(&apps([1, 2]), &apps([3, 4, 5, 6])).is_empty());
        assert!(pick(&[], &[]).is_empty());
    }

    #[test]
    fn an_apps_crowd_leaves_room_for_others() {
        assert_eq!(pick(&apps([1, 1, 1, 1]), &[]), [0, 1]);
        assert!(pick(&apps([1, 1]), &apps([1, 1])).is_empty(), "also when all of it hangs");
        assert_eq!(pick(&apps([1, 1, 2]), &apps([1, 1])), [2]);
    }

    #[test]
    fn who_has_least_comes_first_and_then_who_has_waited_longest() {
        assert_eq!(pick(&apps([1, 1, 2, 3]), &[]), [0, 2, 3, 1]);
        assert_eq!(pick(&apps([1, 2]), &apps([1, 3, 3])), [1]);
    }

    #[test]
    fn whatever_waits_begins_in_the_end_and_never_too_much_at_once() {
        let mut waiting = apps([1, 1, 1, 1, 1, 2, 2, 3, 1, 2, 2, 2]).to_vec();
        let mut rounds = 0;
        while !waiting.is_empty() {
            let picked = pick(&waiting, &[]);
            assert!(!picked.is_empty() && picked.len() <= AT_ONCE);
            let mut position = 0;
            waiting.retain(|_| {
                position += 1;
                !picked.contains(&(position - 1))
            });
            rounds += 1;
            assert!(rounds <= 12);
        }
    }
}
