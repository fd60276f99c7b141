//! Waiting for a state, with a deadline.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Asks `probe` until it has an answer.
///
/// # Panics
/// When the deadline passes: the test then fails naming what it waited for.
pub fn wait_until<T>(what: &str, within: Duration, probe: impl FnMut() -> Option<T>) -> T {
    wait_for(within, probe).unwrap_or_else(|| panic!("waited {} s in vain for {what}", within.as_secs()))
}

/// Asks `probe` until it has an answer or the deadline passes.
pub(crate) fn wait_for<T>(within: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        let found = probe();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        pause(Duration::from_millis(50));
    }
}

/// The step of a wait: nobody tells a second program's state, so it is asked for again after this.
pub fn pause(length: Duration) {
    let nothing = (Mutex::new(()), Condvar::new());
    let guard = nothing.0.lock().unwrap_or_else(PoisonError::into_inner);
    drop(nothing.1.wait_timeout(guard, length));
}
