//! What becomes of a database that holds more than its plan: a warning, some days, then deleting only. Nobody lifts it:
//! what is small enough again is free again.
//!
//! Source: `docs/contract/data-services.md`, section 2.2.

use std::time::Duration;

use crate::time::UnixMicros;

/// How long a database may be over its plan where the operator says nothing else.
pub const GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Below this share of the plan, in hundredths, it is as if it had never been over.
const FREE_BELOW: u64 = 95;

/// What a database may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageState {
    /// All that its plan allows.
    Available,
    /// The same; it is over its plan and must shrink.
    ActionRequired {
        /// Since when it is.
        since: UnixMicros,
    },
    /// Read and delete.
    Restricted {
        /// Since when it is over its plan.
        since: UnixMicros,
    },
}

impl StorageState {
    /// The state as `pg:info` prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::ActionRequired { .. } => "Over Plan Capacity: Action Required",
            Self::Restricted { .. } => "Over Plan Capacity: Access Restricted",
        }
    }

    /// Since when it is over its plan, if it is.
    #[must_use]
    pub const fn since(self) -> Option<UnixMicros> {
        match self {
            Self::Available => None,
            Self::ActionRequired { since } | Self::Restricted { since } => Some(since),
        }
    }
}

/// How much there is of something, and how much the plan allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// So much is there.
    pub used: u64,
    /// So much may be.
    pub limit: u64,
}

impl Level {
    const fn is_over(self) -> bool {
        self.used > self.limit
    }

    fn is_low(self) -> bool {
        u128::from(self.used) * 100 < u128::from(self.limit) * u128::from(FREE_BELOW)
    }
}

/// The state that follows, by what was seen of storage and, where the plan counts them, tables. `grace` is the time between
/// the warning and the restriction. The same look again changes nothing; a clock that went back begins no grace anew and ends
/// none early.
#[must_use]
pub fn next(state: StorageState, levels: &[Level], now: UnixMicros, grace: Duration) -> StorageState {
    let over = levels.iter().any(|level| level.is_over());
    let low = levels.iter().all(|level| level.is_low());
    match state {
        StorageState::Available if over => StorageState::ActionRequired { since: now },
        StorageState::Available => state,
        _ if low => StorageState::Available,
        StorageState::ActionRequired { since } if over && now.since(since) >= grace => {
            StorageState::Restricted { since }
        }
        // Noted by a clock that was ahead: else it would be years until the grace ends.
        StorageState::ActionRequired { since } => StorageState::ActionRequired { since: since.min(now) },
        StorageState::Restricted { .. } => state,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn bytes(used: u64) -> [Level; 1] {
        [Level { used, limit: 1000 }]
    }

    fn day(number: u32) -> UnixMicros {
        UnixMicros(1_700_000_000_000_000) + DAY * number
    }

    #[test]
    fn over_the_plan_is_warned_of_and_restricted_after_the_grace() {
        let warned = next(StorageState::Available, &bytes(1001), day(0), GRACE);
        assert_eq!(warned, StorageState::ActionRequired { since: day(0) });
        assert_eq!(next(warned, &bytes(5000), day(6), GRACE), warned);
        let restricted = next(warned, &bytes(1001), day(7), GRACE);
        assert_eq!(restricted, StorageState::Restricted { since: day(0) });
        assert_eq!(next(warned, &bytes(1001), day(0), Duration::ZERO), restricted);
    }

    #[test]
    fn the_plan_itself_is_not_over() {
        assert_eq!(next(StorageState::Available, &bytes(1000), day(0), GRACE), StorageState::Available);
    }

    #[test]
    fn only_below_95_hundredths_it_is_free_again() {
        let restricted = StorageState::Restricted { since: day(0) };
        let warned = StorageState::ActionRequired { since: day(0) };
        for state in [restricted, warned] {
            assert_eq!(next(state, &bytes(950), day(1), GRACE), state);
            assert_eq!(next(state, &bytes(949), day(1), GRACE), StorageState::Available);
        }
        // Nearly too much is no reason to restrict, however long it lasts.
        assert_eq!(next(warned, &bytes(990), day(30), GRACE), warned);
    }

    #[test]
    fn tables_count_as_bytes_do() {
        let levels = |tables| [Level { used: 1, limit: 1000 }, Level { used: tables, limit: 4000 }];
        let warned = next(StorageState::Available, &levels(4001), day(0), GRACE);
        assert_eq!(warned, StorageState::ActionRequired { since: day(0) });
        assert_eq!(next(warned, &levels(3900), day(1), GRACE), warned);
        assert_eq!(next(warned, &levels(3799), day(1), GRACE), StorageState::Available);
    }

    #[test]
    fn a_clock_that_was_ahead_makes_nobody_wait_for_it() {
        let noted_ahead = StorageState::ActionRequired { since: day(1000) };
        let mended = next(noted_ahead, &bytes(2000), day(1), GRACE);
        assert_eq!(mended, StorageState::ActionRequired { since: day(1) });
        assert_eq!(next(mended, &bytes(2000), day(8), GRACE), StorageState::Restricted { since: day(1) });
    }

    fn any_state() -> impl Strategy<Value = StorageState> {
        let since = (0..100_u32).prop_map(day);
        prop_oneof![
            Just(StorageState::Available),
            since.clone().prop_map(|since| StorageState::ActionRequired { since }),
            since.prop_map(|since| StorageState::Restricted { since }),
        ]
    }

    proptest! {
        #[test]
        fn a_second_look_changes_nothing(state in any_state(), used in 0..2000_u64, at in 0..100_u32) {
            let once = next(state, &bytes(used), day(at), GRACE);
            prop_assert_eq!(next(once, &bytes(used), day(at), GRACE), once);
        }

        #[test]
        fn time_that_goes_back_restricts_nobody(used in 0..2000_u64, since in 0..100_u32, back in 0..100_u32) {
            let warned = StorageState::ActionRequired { since: day(since) };
            let now = day(since.saturating_sub(back));
            let after = next(warned, &bytes(used), now, GRACE);
            prop_assert!(!matches!(after, StorageState::Restricted { .. }), "{:?}", after);
        }
    }
}
