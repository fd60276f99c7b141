//! How many requests an account may make: a pool of 4,500 that fills up by 75 a minute
//! (`docs/contract/platform-behaviour.md`, section 27).

use crate::UnixMicros;

/// A full pool.
pub const POOL_MAX: u32 = 4500;
const PER_MICROSECOND: f64 = 75.0 / 60_000_000.0;

/// What is left of an account's pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestPool {
    left: f64,
    at: UnixMicros,
}

impl RequestPool {
    /// A full one.
    #[must_use]
    pub fn full(now: UnixMicros) -> Self {
        Self::of(POOL_MAX, now)
    }

    /// One that had this many left at a given time.
    #[must_use]
    pub fn of(left: u32, at: UnixMicros) -> Self {
        Self { left: f64::from(left.min(POOL_MAX)), at }
    }

    /// Takes one request. `None` when the pool is empty; else how many are left.
    pub fn take(&mut self, now: UnixMicros) -> Option<u32> {
        self.left = self.filled(now);
        self.at = now;
        if self.left < 1.0 {
            return None;
        }
        self.left -= 1.0;
        Some(whole(self.left))
    }

    /// How many are left, without taking one.
    #[must_use]
    pub fn left(&self, now: UnixMicros) -> u32 {
        whole(self.filled(now))
    }

    /// A clock that was set back fills nothing, and takes nothing either.
    fn filled(&self, now: UnixMicros) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "an hour of microseconds is exact, more fills the pool"
        )]
        let passed = now.0.saturating_sub(self.at.0).max(0) as f64;
        (self.left + passed * PER_MICROSECOND).min(f64::from(POOL_MAX))
    }
}

fn whole(left: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and POOL_MAX")]
    {
        left as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn the_pool_empties_and_fills() {
        let start = UnixMicros(1_000);
        let mut pool = RequestPool::full(start);
        assert_eq!(pool.take(start), Some(4499));
        for _ in 0..4499 {
            assert!(pool.take(start).is_some());
        }
        assert_eq!(pool.take(start), None);
        assert_eq!(pool.left(UnixMicros(1_000 + MINUTE)), 75);
        assert_eq!(pool.take(UnixMicros(1_000 + MINUTE)), Some(74));
        assert_eq!(pool.take(UnixMicros(1_000 + 1440 * MINUTE)), Some(4499));
    }

    #[test]
    fn a_clock_that_goes_back_is_no_gift() {
        let mut pool = RequestPool::of(10, UnixMicros(100 * MINUTE));
        assert_eq!(pool.left(UnixMicros(0)), 10);
        assert_eq!(pool.take(UnixMicros(0)), Some(9));
        for now in [i64::MIN, i64::MAX] {
            assert!(pool.left(UnixMicros(now)) <= POOL_MAX);
        }
    }
}
