//! What is to be done about a data server, from what is wanted of it and what is seen.

use std::time::Duration;

use crate::time::UnixMicros;

/// A server that ran this long before it ended is started again at once, as on its first end.
const STEADY: Duration = Duration::from_secs(60);
/// The longest wait before what failed is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How soon something is looked at again that is likely to come about in a moment.
pub const SOON: Duration = Duration::from_millis(50);
/// For how long that is likely.
const LIKELY: Duration = Duration::from_secs(5);
/// The longest distance between two looks.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// What is seen of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// There is none.
    Absent,
    /// Its program runs.
    Running,
    /// It has ended, or is half started: nothing of it is of use.
    Broken,
}

/// What is wanted and known of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataServerSeen {
    /// Whether it is to go, with all it holds.
    pub retiring: bool,
    /// Whether what runs was started with other settings than it has now.
    pub outdated: bool,
    /// Its container.
    pub container: Seen,
    /// Before this it is not started again.
    pub next_start_at: UnixMicros,
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataServerStep {
    /// Start a container.
    Start,
    /// Not yet: look again then.
    Wait(UnixMicros),
    /// See whether it answers.
    Look,
    /// Let it end what it does.
    Stop,
    /// Remove what is left of its container.
    Clear,
    /// Nothing runs: remove its data and forget it.
    Forget,
}

/// The next step for a server.
#[must_use]
pub fn data_server_step(seen: &DataServerSeen, now: UnixMicros) -> DataServerStep {
    match (seen.container, seen.retiring) {
        (Seen::Broken, _) => DataServerStep::Clear,
        (Seen::Running, true) => DataServerStep::Stop,
        (Seen::Running, false) if seen.outdated => DataServerStep::Stop,
        (Seen::Running, false) => DataServerStep::Look,
        (Seen::Absent, true) => DataServerStep::Forget,
        (Seen::Absent, false) if is_ahead(seen.next_start_at, now) => {
            DataServerStep::Wait(seen.next_start_at)
        }
        (Seen::Absent, false) => DataServerStep::Start,
    }
}

/// How many ends in a row this one makes, and when the server may be started again: at once after the first, then after
/// 1, 2, 4 seconds and so on.
#[must_use]
pub fn after_an_end(in_a_row: u32, ran_for: Duration, now: UnixMicros) -> (u32, UnixMicros) {
    let ends = if ran_for >= STEADY { 1 } else { in_a_row.saturating_add(1) };
    (ends, now + wait_after(ends))
}

/// How long to wait before what has failed so often in a row is tried again: not at all after the first time, then 1, 2, 4
/// seconds and so on to a minute.
#[must_use]
pub fn wait_after(in_a_row: u32) -> Duration {
    match in_a_row {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << (more - 2).min(6)).min(LONGEST_WAIT),
    }
}

/// Whether to wait for this time. A clock that went back makes nobody wait for longer than what was meant.
#[must_use]
pub fn is_ahead(due: UnixMicros, now: UnixMicros) -> bool {
    due > now && due <= now + LONGEST_WAIT
}

/// How soon to look again for what has not come about for so long: at once while it is likely to, then at growing distances.
#[must_use]
pub fn look_again(waited: Duration) -> Duration {
    (waited.saturating_sub(LIKELY) / 4).clamp(SOON, LONGEST_LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = UnixMicros(1_000_000);

    #[test]
    fn every_sight_has_its_step() {
        let step = |container, retiring, outdated, next_start_at| {
            data_server_step(
                &DataServerSeen { retiring, outdated, container, next_start_at: UnixMicros(next_start_at) },
                NOW,
            )
        };
        assert_eq!(step(Seen::Absent, false, false, 0), DataServerStep::Start);
        assert_eq!(step(Seen::Absent, false, false, 2_000_000), DataServerStep::Wait(UnixMicros(2_000_000)));
        assert_eq!(step(Seen::Running, false, false, 2_000_000), DataServerStep::Look);
        assert_eq!(step(Seen::Running, false, true, 0), DataServerStep::Stop);
        assert_eq!(step(Seen::Running, true, false, 0), DataServerStep::Stop);
        assert_eq!(step(Seen::Absent, true, true, 2_000_000), DataServerStep::Forget);
        for (retiring, outdated) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(step(Seen::Broken, retiring, outdated, 0), DataServerStep::Clear);
        }
    }

    #[test]
    fn the_first_start_after_an_end_is_at_once_and_the_waits_double_to_a_minute() {
        let short = Duration::from_secs(1);
        let waits = |in_a_row| after_an_end(in_a_row, short, NOW).1.0 - NOW.0;
        assert_eq!([0, 1, 2, 3, 6, 7, 100].map(|n| waits(n) / 1_000_000), [0, 1, 2, 4, 32, 60, 60]);
        assert_eq!(after_an_end(7, STEADY, NOW), (1, NOW));
    }

    #[test]
    fn looks_are_quick_at_first_and_grow_apart() {
        let look = |seconds| look_again(Duration::from_secs(seconds)).as_millis();
        assert_eq!([0, 5, 9, 25, 45, 3600].map(look), [50, 50, 1000, 5000, 10_000, 10_000]);
    }

    #[test]
    fn a_clock_that_was_ahead_makes_nobody_wait_for_it() {
        let minutes = |n: u64| NOW + Duration::from_secs(60 * n);
        assert_eq!([1, 2, 600].map(|n| is_ahead(minutes(n), NOW)), [true, false, false]);
        assert!(!is_ahead(NOW, NOW));
        let seen = DataServerSeen {
            retiring: false,
            outdated: false,
            container: Seen::Absent,
            next_start_at: minutes(600),
        };
        assert_eq!(data_server_step(&seen, NOW), DataServerStep::Start);
    }
}
