//! When a crashed dyno is tried again.

use std::time::Duration;

use crate::time::UnixMicros;

/// A dyno that ran this long before it crashed is tried again at once, as on its first crash.
pub const STEADY: Duration = Duration::from_secs(10 * 60);

/// Waits before the second and later retries; the last one repeats. The first retry is immediate.
/// Source: `docs/contract/platform-behaviour.md`, section 3 (10, 20, 40 minutes, doubling up to a day).
const WAITS_MINUTES: [u64; 8] = [10, 20, 40, 80, 160, 320, 640, 1440];

/// How many crashes in a row this one makes: a dyno that ran for [`STEADY`] starts anew.
#[must_use]
pub fn crashes_in_a_row(before: u32, ran_for: Duration) -> u32 {
    if ran_for >= STEADY { 1 } else { before.saturating_add(1) }
}

/// When a dyno that has now crashed `in_a_row` times may be started again.
#[must_use]
pub fn retry_at(in_a_row: u32, crashed_at: UnixMicros) -> UnixMicros {
    match in_a_row {
        0 | 1 => crashed_at,
        more => {
            let step = (more as usize - 2).min(WAITS_MINUTES.len() - 1);
            crashed_at + Duration::from_secs(60 * WAITS_MINUTES[step])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_retry_is_at_once_and_the_rest_double() {
        let minutes = |n| (retry_at(n, UnixMicros(0)).0 / 60_000_000) as u64;
        assert_eq!([1, 2, 3, 4, 9, 100].map(minutes), [0, 10, 20, 40, 1440, 1440]);
    }

    #[test]
    fn a_long_run_forgives_earlier_crashes() {
        assert_eq!(crashes_in_a_row(5, STEADY), 1);
        assert_eq!(crashes_in_a_row(5, Duration::from_secs(3)), 6);
    }
}
