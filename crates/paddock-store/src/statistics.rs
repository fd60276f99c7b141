//! What the store did since it was opened, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Numbers since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Times that a connection was taken to read: mostly one statement each.
    pub reads: u64,
    pub committed: u64,
    /// Transactions that were given up.
    pub rolled_back: u64,
    /// How long writers waited for their turn, together.
    pub waited: Duration,
    /// How long writers had their turn, commit included, together.
    pub held: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    reads: AtomicU64,
    committed: AtomicU64,
    rolled_back: AtomicU64,
    waited_micros: AtomicU64,
    held_micros: AtomicU64,
}

impl Counters {
    pub(crate) fn count_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Statistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            reads: get(&self.reads),
            committed: get(&self.committed),
            rolled_back: get(&self.rolled_back),
            waited: Duration::from_micros(get(&self.waited_micros)),
            held: Duration::from_micros(get(&self.held_micros)),
        }
    }
}

/// A writer's turn: counted when it ends, as committed or not.
#[derive(Debug)]
pub(crate) struct Turn {
    counters: Arc<Counters>,
    began: Instant,
    is_committed: bool,
}

impl Turn {
    /// Begins a turn that was waited for since `asked`.
    pub(crate) fn begin(counters: Arc<Counters>, asked: Instant) -> Self {
        counters.waited_micros.fetch_add(micros(asked), Ordering::Relaxed);
        Self { counters, began: Instant::now(), is_committed: false }
    }

    pub(crate) fn committed(&mut self) {
        self.is_committed = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let outcome = if self.is_committed { &self.counters.committed } else { &self.counters.rolled_back };
        outcome.fetch_add(1, Ordering::Relaxed);
        self.counters.held_micros.fetch_add(micros(self.began), Ordering::Relaxed);
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
