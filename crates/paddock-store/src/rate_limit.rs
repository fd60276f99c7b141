//! How many requests accounts had left when it was last written down. The numbers of this moment are in memory.

use paddock_core::{AccountId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values};
use crate::error::Result;

/// What an account had left, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub left_requests: u32,
    pub measured_at: UnixMicros,
}

row!(RateLimit { left_requests, measured_at } optional {});

statements! {
    OF_ACCOUNT = "SELECT left_requests, measured_at FROM rate_limits WHERE account_id = $1";
    PUT = "INSERT INTO rate_limits (account_id, left_requests, measured_at) \
        SELECT id, CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM accounts WHERE id = $1 ON CONFLICT (account_id) \
        DO UPDATE SET left_requests = excluded.left_requests, measured_at = excluded.measured_at";
}

reads! {
    /// What an account had left.
    rate_limit(account_id: AccountId) -> one RateLimit: OF_ACCOUNT [account_id];
}

impl Tx {
    /// Writes down what an account has left; nothing for an account that is gone.
    pub async fn set_rate_limit(&mut self, account_id: AccountId, left_requests: u32) -> Result<()> {
        let values = values![account_id, left_requests, self.now];
        self.execute(PUT, values).await.map(drop)
    }
}
