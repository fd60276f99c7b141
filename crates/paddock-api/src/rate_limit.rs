//! How many requests an account may make: 4,500 an hour, filled up by 75 a minute
//! (contract `platform-behaviour.md`, section 27). Counted in memory: a restart forgives.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use paddock_core::AccountId;

const POOL: f64 = 4500.0;
const PER_SECOND: f64 = 75.0 / 60.0;

/// What is left of each account's pool.
#[derive(Debug, Default)]
pub(crate) struct RateLimits(Mutex<HashMap<AccountId, (f64, Instant)>>);

impl RateLimits {
    /// Takes one request out of the account's pool. `None` when it is empty; else how many are left.
    pub(crate) fn take(&self, account: AccountId, now: Instant) -> Option<u32> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = pools.entry(account).or_insert((POOL, now));
        *left = filled(*left, *at, now);
        *at = now;
        if *left < 1.0 {
            return None;
        }
        *left -= 1.0;
        Some(whole(*left))
    }

    /// How many requests are left, without taking one.
    pub(crate) fn remaining(&self, account: AccountId, now: Instant) -> u32 {
        let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        whole(pools.get(&account).map_or(POOL, |(left, at)| filled(*left, *at, now)))
    }
}

fn filled(left: f64, at: Instant, now: Instant) -> f64 {
    (left + now.saturating_duration_since(at).as_secs_f64() * PER_SECOND).min(POOL)
}

fn whole(left: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and POOL")]
    {
        left as u32
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_pool_empties_and_fills() {
        let (limits, start) = (RateLimits::default(), Instant::now());
        let account = "01234567-0123-7123-8123-0123456789ab".parse().unwrap();
        assert_eq!(limits.take(account, start), Some(4499));
        for _ in 0..4499 {
            assert!(limits.take(account, start).is_some());
        }
        assert_eq!(limits.take(account, start), None);
        assert_eq!(limits.remaining(account, start + Duration::from_secs(60)), 75);
        assert_eq!(limits.take(account, start + Duration::from_secs(86_400)), Some(4499));
    }
}
