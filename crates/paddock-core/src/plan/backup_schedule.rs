//! Whether a daily backup is due. What hour of which day it is where the schedule is, the caller knows.

use crate::time::UnixMicros;

/// A schedule, and where it has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSeen<'a> {
    /// What lies before is none of its.
    pub made_at: UnixMicros,
    /// The last day that it was done for, `2026-11-29`.
    pub last_day: Option<&'a str>,
    /// The day that it is there now.
    pub today: &'a str,
    /// When that day's hour strikes there: once, whatever the clocks are put to.
    pub strikes_at: UnixMicros,
}

/// Whether a backup is to be made now, for `today`. A day whose hour was slept through is made up for on that day, and is
/// skipped after it. A clock that is put back brings no second one.
#[must_use]
pub fn is_due(seen: &ScheduleSeen<'_>, now: UnixMicros) -> bool {
    seen.last_day.is_none_or(|day| day < seen.today)
        && seen.made_at <= seen.strikes_at
        && seen.strikes_at <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_done_once_when_its_hour_has_struck() {
        let due = |made, last, today, strikes, now| {
            let seen = ScheduleSeen {
                made_at: UnixMicros(made),
                last_day: last,
                today,
                strikes_at: UnixMicros(strikes),
            };
            is_due(&seen, UnixMicros(now))
        };
        for (made, last, today, strikes, now, expected, why) in [
            (10, None, "2026-11-29", 20, 19, false, "not yet"),
            (10, None, "2026-11-29", 20, 20, true, "now"),
            (10, None, "2026-11-29", 20, 90, true, "slept through, the same day"),
            (30, None, "2026-11-29", 20, 90, false, "made after the hour had struck"),
            (10, Some("2026-11-29"), "2026-11-29", 20, 90, false, "done"),
            (10, Some("2026-11-29"), "2026-11-30", 120, 110, false, "the next day, too early"),
            (10, Some("2026-11-29"), "2026-11-30", 120, 130, true, "the next day"),
            (10, Some("2026-11-30"), "2026-11-29", 20, 90, false, "the clock was put back"),
            (10, Some("2026-12-31"), "2027-01-01", 500, 500, true, "the next year"),
        ] {
            assert_eq!(due(made, last, today, strikes, now), expected, "{why}");
        }
    }
}
