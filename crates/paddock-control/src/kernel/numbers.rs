//! What is counted as it happens, for the operator's metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use paddock_core::UnixMicros;

use crate::kernel::clock::machine_time;
use crate::kernel::error::{Error, chain};
use crate::kernel::reconcile::PassReport;

/// What is counted as it happens.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) started: Instant,
    pub(crate) passes: Mutex<BTreeMap<&'static str, Passes>>,
    /// Requests by the first digit of their status.
    pub(crate) requests: Mutex<BTreeMap<char, u64>>,
    /// How old the oldest line of the newest batch was when it was durable, by what it came from.
    pub(crate) log_lag: Mutex<BTreeMap<&'static str, Duration>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Passes {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) steps_done: u64,
    pub(crate) steps_failed: u64,
    pub(crate) duration: Duration,
    pub(crate) last_success: Option<Instant>,
    /// Why the newest pass failed, if it did. Not a label: it has no bounds.
    pub(crate) trouble: Option<String>,
}

impl Default for Numbers {
    fn default() -> Self {
        let (passes, requests, log_lag) = Default::default();
        Self { started: Instant::now(), passes, requests, log_lag }
    }
}

impl Numbers {
    /// A reconciler begins: it is seen to have been without a success since then.
    pub(crate) fn begun(&self, reconciler: &'static str) {
        lock(&self.passes).entry(reconciler).or_default();
    }

    /// A pass of a reconciler ended.
    pub(crate) fn pass(
        &self,
        reconciler: &'static str,
        duration: Duration,
        passed: std::result::Result<&PassReport, &Error>,
    ) {
        let mut passes = lock(&self.passes);
        let passes = passes.entry(reconciler).or_default();
        passes.duration += duration;
        passes.trouble = passed.as_ref().err().map(|error| chain(*error));
        match passed {
            Ok(report) => {
                passes.succeeded += 1;
                passes.steps_done += report.done as u64;
                passes.steps_failed += report.failed as u64;
                passes.last_success = Some(Instant::now());
            }
            Err(_) => passes.failed += 1,
        }
    }

    /// A line of the router came in: a request that was answered.
    pub(crate) fn request(&self, line: &str) {
        // Last in the line, after everything that a client has a say in.
        let status = line.rsplit_once(" status=").and_then(|(_, rest)| rest.chars().next());
        if let Some(class @ '1'..='5') = status {
            *lock(&self.requests).entry(class).or_default() += 1;
        }
    }

    /// Lines from a source are durable now; the oldest of them was written `at`.
    pub(crate) fn log_lag(&self, source: &'static str, at: Option<UnixMicros>) {
        let Some(UnixMicros(at)) = at else { return };
        let written = UNIX_EPOCH + Duration::from_micros(u64::try_from(at).unwrap_or(0));
        // A clock that was set back makes no lag.
        let lag = machine_time().duration_since(written).unwrap_or_default();
        lock(&self.log_lag).insert(source, lag);
    }

    /// What failed in the newest pass of each reconciler, in words for the operator.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let passes = lock(&self.passes);
        let troubles = passes.iter().filter_map(|(name, passes)| Some((name, passes.trouble.as_ref()?)));
        troubles.map(|(name, trouble)| format!("{name}: {trouble}")).collect()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
