//! Which backups of a database are let go. Source: `docs/contract/data-services.md`, section 2.6.
//!
//! What counts is what can be restored: a backup that failed takes no place of a good one, and failures are kept for as long
//! as somebody may ask for their reasons.

use std::collections::BTreeSet;

use crate::TransferId;
use crate::time::UnixMicros;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
/// 1970-01-01 was a Thursday: weeks begin on Mondays.
const DAYS_TO_MONDAY: i64 = 3;
/// Failed ones that are kept for their reasons.
const FAILURES: usize = 10;

/// How many backups a plan keeps of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Those that somebody asked for.
    pub manual: usize,
    /// Days of which one scheduled backup is kept.
    pub days: usize,
    /// Weeks of which one is.
    pub weeks: usize,
}

/// A backup that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedBackup {
    /// Which.
    pub id: TransferId,
    /// Whether a schedule made it.
    pub is_scheduled: bool,
    /// Whether it can be restored.
    pub is_good: bool,
    /// When it was asked for.
    pub created_at: UnixMicros,
}

/// Those that are let go.
#[must_use]
pub fn displaced(backups: &[EndedBackup], retention: Retention) -> Vec<TransferId> {
    let mut newest_first: Vec<_> = backups.iter().collect();
    newest_first.sort_by_key(|backup| std::cmp::Reverse((backup.created_at, backup.id)));
    let of = |is_good: bool, is_scheduled: bool| {
        let is_meant = move |one: &&&EndedBackup| one.is_good == is_good && one.is_scheduled == is_scheduled;
        newest_first.iter().filter(is_meant).copied()
    };
    let mut kept: BTreeSet<TransferId> = of(true, false).take(retention.manual).map(|one| one.id).collect();
    for scheduled in [false, true] {
        kept.extend(of(false, scheduled).take(FAILURES).map(|one| one.id));
    }
    let day = |one: &EndedBackup| one.created_at.0.div_euclid(DAY_MICROS);
    let week = |one: &EndedBackup| (day(one) + DAYS_TO_MONDAY).div_euclid(7);
    kept.extend(newest_of_each(of(true, true), day, retention.days));
    kept.extend(newest_of_each(of(true, true), week, retention.weeks));
    newest_first.iter().map(|one| one.id).filter(|id| !kept.contains(id)).collect()
}

/// The newest backup of each of the last periods that have one.
fn newest_of_each<'a>(
    newest_first: impl Iterator<Item = &'a EndedBackup>,
    period: impl Fn(&EndedBackup) -> i64,
    most: usize,
) -> Vec<TransferId> {
    let mut kept = Vec::new();
    let mut last = None;
    for backup in newest_first {
        let this = Some(period(backup));
        if this != last && kept.len() < most {
            kept.push(backup.id);
        }
        last = this;
    }
    kept
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ESSENTIAL: Retention = Retention { manual: 7, days: 7, weeks: 1 };
    const STANDARD: Retention = Retention { manual: 25, days: 7, weeks: 4 };

    fn id(number: i64) -> TransferId {
        TransferId::from_uuid(Uuid::from_u128(u128::try_from(number).unwrap()))
    }

    fn backup(number: i64, is_scheduled: bool, is_good: bool, day: i64) -> EndedBackup {
        EndedBackup {
            id: id(number),
            is_scheduled,
            is_good,
            created_at: UnixMicros(day * DAY_MICROS + number),
        }
    }

    fn ids(numbers: impl IntoIterator<Item = i64>) -> BTreeSet<TransferId> {
        numbers.into_iter().map(id).collect()
    }

    fn gone(backups: &[EndedBackup], retention: Retention) -> BTreeSet<TransferId> {
        displaced(backups, retention).into_iter().collect()
    }

    #[test]
    fn the_oldest_that_somebody_asked_for_goes() {
        let nine: Vec<_> = (1..=9).map(|number| backup(number, false, true, 100)).collect();
        assert_eq!(gone(&nine, ESSENTIAL), ids([1, 2]));
        assert_eq!(gone(&nine[..7], ESSENTIAL), ids([]));
        assert_eq!(gone(&nine, STANDARD), ids([]));
    }

    #[test]
    fn failures_displace_nothing_good_and_go_among_themselves() {
        let mut all: Vec<_> = (1..=7).map(|number| backup(number, false, true, 100)).collect();
        all.extend((8..=30).map(|number| backup(number, number % 2 == 0, false, 101)));
        let gone = gone(&all, ESSENTIAL);
        assert!(gone.iter().all(|one| *one >= id(8)), "{gone:?}");
        assert_eq!(gone.len(), 3, "ten of each kind are kept for their reasons");
    }

    #[test]
    fn scheduled_ones_are_kept_by_day_and_by_week() {
        // Day 4 of the epoch was a Monday: so was day 704.
        let daily: Vec<_> = (1..=30).map(|number| backup(number, true, true, 703 + number)).collect();
        let kept = |retention| {
            let gone = gone(&daily, retention);
            (1..=30).filter(|number| !gone.contains(&id(*number))).collect::<Vec<_>>()
        };
        // The week's newest is one of the last seven days.
        assert_eq!(kept(ESSENTIAL), [24, 25, 26, 27, 28, 29, 30]);
        assert_eq!(kept(STANDARD), [14, 21, 24, 25, 26, 27, 28, 29, 30]);
    }

    #[test]
    fn scheduled_ones_and_others_are_counted_apart() {
        let mut all: Vec<_> = (1..=7).map(|number| backup(number, false, true, 100 + number)).collect();
        all.extend((8..=14).map(|number| backup(number, true, true, 100 + number)));
        assert_eq!(gone(&all, ESSENTIAL), ids([]));
        // Of two on one day the newer stays.
        all.push(backup(15, true, true, 114));
        assert_eq!(gone(&all, ESSENTIAL), ids([14]));
    }

    #[test]
    fn again_after_that_nothing_goes() {
        let all: Vec<_> = (1..=60).map(|n| backup(n, n % 3 == 0, n % 5 != 0, n)).collect();
        let gone = gone(&all, ESSENTIAL);
        let left: Vec<_> = all.into_iter().filter(|one| !gone.contains(&one.id)).collect();
        assert!(displaced(&left, ESSENTIAL).is_empty());
    }
}
