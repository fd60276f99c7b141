//! How many requests accounts have left.
//!
//! Counted in memory and written down every ten seconds and at the end, since a write for each request would cost more
//! than most requests do. So a server that is killed forgives what was asked in its last ten seconds, at most; who
//! could kill it that often to ask more would have no need to ask. Of several control planes each counts what it sees.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use paddock_core::AccountId;
use paddock_core::rate_limit::RequestPool;

use crate::kernel::Kernel;
use crate::{Actor, Result};

/// The pools of accounts that asked for something since the server began.
#[derive(Debug, Default)]
pub(crate) struct RateLimits(Mutex<HashMap<AccountId, Counted>>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    pool: RequestPool,
    is_written: bool,
}

impl Kernel {
    /// Counts a request of the actor. `None` when the account has none left; else how many are left.
    pub async fn count_request(&self, actor: &Actor) -> Result<Option<u32>> {
        self.with_pool(actor, |counted, now| {
            counted.is_written = false;
            counted.pool.take(now)
        })
        .await
    }

    /// How many requests the actor has left; asking takes none.
    pub async fn requests_left(&self, actor: &Actor) -> Result<u32> {
        self.with_pool(actor, |counted, now| counted.pool.left(now)).await
    }

    async fn with_pool<T>(
        &self,
        actor: &Actor,
        act: impl FnOnce(&mut Counted, paddock_core::UnixMicros) -> T,
    ) -> Result<T> {
        let (account, now) = (actor.account_id, self.now());
        if !self.pools().contains_key(&account) {
            let written = self.store.rate_limit(account).await?;
            let pool = written.map_or_else(
                || RequestPool::full(now),
                |written| RequestPool::of(written.left_requests, written.measured_at),
            );
            // Of two that read at once the second finds what the first has counted by then.
            self.pools().entry(account).or_insert(Counted { pool, is_written: true });
        }
        let mut pools = self.pools();
        let fresh = Counted { pool: RequestPool::full(now), is_written: false };
        Ok(act(pools.entry(account).or_insert(fresh), now))
    }

    /// Writes down what accounts have left that asked for something since the last time. How many.
    ///
    /// # Errors
    /// When the store cannot be written; then the next time writes it.
    pub(crate) async fn write_rate_limits(&self) -> Result<usize> {
        let now = self.now();
        let changed: Vec<_> = self
            .pools()
            .iter()
            .filter(|(_, counted)| !counted.is_written)
            .map(|(account, counted)| (*account, counted.pool.left(now)))
            .collect();
        if changed.is_empty() {
            return Ok(0);
        }
        let mut tx = self.record("write rate limits").await?;
        for (account, left) in &changed {
            tx.set_rate_limit(*account, *left).await?;
        }
        tx.commit_quietly("rate_limit.written").await?;
        let mut pools = self.pools();
        for (account, left) in &changed {
            if let Some(counted) = pools.get_mut(account) {
                // What was asked meanwhile is written the next time.
                counted.is_written = counted.pool.left(now) == *left;
            }
        }
        Ok(changed.len())
    }

    fn pools(&self) -> std::sync::MutexGuard<'_, HashMap<AccountId, Counted>> {
        self.rate_limits.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
