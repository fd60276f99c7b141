//! The time, as something tests can set.

use std::time::{SystemTime, UNIX_EPOCH};

use paddock_core::UnixMicros;

pub trait Clock: Send + Sync {
    fn now(&self) -> UnixMicros;
}

#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMicros {
        let since = machine_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The time of this machine, by which its files are dated, whatever the clock of the server says.
#[expect(clippy::disallowed_methods, reason = "this is where the machine is asked")]
pub(crate) fn machine_time() -> SystemTime {
    SystemTime::now()
}
