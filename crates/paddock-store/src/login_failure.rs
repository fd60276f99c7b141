//! Failed log-ins, counted by email and by address of the client for the limits on guessing.

use paddock_core::UnixMicros;

use crate::account::email_key;
use crate::engine::{self, FromRow, Row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

/// How many log-ins failed in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginFailures {
    /// With this email, from anywhere.
    pub of_email: i64,
    /// From this address, with any email.
    pub of_address: i64,
    /// With this email from this address.
    pub of_both: i64,
}

impl FromRow for LoginFailures {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            of_email: row.get("of_email")?,
            of_address: row.get("of_address")?,
            of_both: row.get("of_both")?,
        })
    }
}

statements! {
    COUNT = "SELECT COUNT(CASE WHEN email_key = $1 THEN 1 END) AS of_email, \
        COUNT(CASE WHEN address = $2 THEN 1 END) AS of_address, \
        COUNT(CASE WHEN email_key = $1 AND address = $2 THEN 1 END) AS of_both \
        FROM login_failures WHERE failed_at >= $3 AND (email_key = $1 OR address = $2)";
    RECORD = "INSERT INTO login_failures (email_key, address, failed_at) VALUES ($1, $2, $3)";
    CLEAR = "DELETE FROM login_failures WHERE email_key = $1 AND address = $2";
    PURGE = "DELETE FROM login_failures WHERE failed_at < $1";
}

impl Store {
    /// How many log-ins failed since `since`.
    pub async fn login_failures_since(
        &self,
        email: &str,
        address: &str,
        since: UnixMicros,
    ) -> Result<LoginFailures> {
        let mut connection = self.reader().await?;
        let values = values![email_key(email), address, since];
        let counts = engine::one(&mut connection, COUNT, values).await?;
        Ok(counts.unwrap_or(LoginFailures { of_email: 0, of_address: 0, of_both: 0 }))
    }
}

impl Tx {
    /// Notes that a log-in failed now.
    pub async fn record_login_failure(&mut self, email: &str, address: &str) -> Result<()> {
        let values = values![email_key(email), address, self.now];
        self.execute(RECORD, values).await.map(drop)
    }

    /// Forgets the failures of this email from this address, as after a log-in that succeeded.
    pub async fn clear_login_failures(&mut self, email: &str, address: &str) -> Result<()> {
        self.execute(CLEAR, values![email_key(email), address]).await.map(drop)
    }

    /// Deletes failures from before `before`. How many.
    pub async fn purge_login_failures(&mut self, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![before]).await
    }
}
