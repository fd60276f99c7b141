//! Time as it passes, in a number that an atomic holds.

use std::sync::LazyLock;
use std::time::Instant;

/// Milliseconds since some moment of this process.
pub(crate) fn clock() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    // From 1, so that 0 can mean "never".
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX / 2) + 1
}
