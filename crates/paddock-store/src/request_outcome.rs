//! Requests that are carried out once: a claim before, the outcome after. Kept for some minutes.

use paddock_core::hex;
use paddock_core::{AccountId, UnixMicros};

use crate::engine::{self, FromRow, Row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

/// A claim, with the outcome once there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOutcome {
    /// The run of the server that claimed it.
    pub owner: String,
    /// HTTP status and body; `None` while it is carried out, or when its owner did not come to its end.
    pub answer: Option<(u16, Vec<u8>)>,
}

struct Stored {
    owner: String,
    status: Option<u16>,
    body: Option<Vec<u8>>,
}

impl FromRow for Stored {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { owner: row.get("owner")?, status: row.optional("status")?, body: row.optional("body")? })
    }
}

statements! {
    ONE = "SELECT owner, status, body FROM request_outcomes WHERE request_sha256 = $1 AND created_at >= $2";
    /// An old claim that nobody has removed yet counts as none.
    CLAIM = "INSERT INTO request_outcomes (request_sha256, account_id, owner, created_at) \
        VALUES ($1, $2, $3, $4) ON CONFLICT (request_sha256) DO UPDATE \
        SET owner = excluded.owner, created_at = excluded.created_at, status = NULL, body = NULL \
        WHERE request_outcomes.created_at < $5";
    FINISH = "UPDATE request_outcomes SET status = $2, body = $3 WHERE request_sha256 = $1";
    FORGET = "DELETE FROM request_outcomes WHERE request_sha256 = $1";
    PURGE = "DELETE FROM request_outcomes WHERE created_at < $1";
}

/// Where a sealed body belongs.
pub(crate) fn place(request_sha256: &[u8; 32]) -> String {
    format!("request:{}", hex(request_sha256))
}

impl Store {
    /// What became of a request that was claimed since `since`.
    ///
    /// # Errors
    /// The database could not be read, or its secrets not unsealed.
    pub async fn request_outcome(
        &self,
        request_sha256: &[u8; 32],
        since: UnixMicros,
    ) -> Result<Option<RequestOutcome>> {
        let mut connection = self.reader().await?;
        let values = values![*request_sha256, since];
        let Some(stored) = engine::one::<Stored>(&mut connection, ONE, values).await? else {
            return Ok(None);
        };
        let answer = match stored.status.zip(stored.body) {
            None => None,
            Some((status, sealed)) => Some((status, self.sealer().unseal(&place(request_sha256), &sealed)?)),
        };
        Ok(Some(RequestOutcome { owner: stored.owner, answer }))
    }
}

impl Tx {
    /// Claims a request for this run of the server, unless it was claimed since `since`. Whether it is ours now.
    pub async fn claim_request(
        &mut self,
        request_sha256: &[u8; 32],
        account_id: AccountId,
        owner: &str,
        since: UnixMicros,
    ) -> Result<bool> {
        let values = values![*request_sha256, account_id, owner, self.now, since];
        Ok(self.execute(CLAIM, values).await? > 0)
    }

    /// Writes down what came of a claimed request; the body is sealed.
    pub async fn finish_request(
        &mut self,
        request_sha256: &[u8; 32],
        status: u16,
        body: &[u8],
    ) -> Result<()> {
        let sealed = self.sealer.seal(&place(request_sha256), body)?;
        self.execute(FINISH, values![*request_sha256, status, sealed]).await.map(drop)
    }

    /// Gives up a claim: nothing was done.
    pub async fn forget_request(&mut self, request_sha256: &[u8; 32]) -> Result<()> {
        self.execute(FORGET, values![*request_sha256]).await.map(drop)
    }

    /// Removes claims from before `before`. How many.
    pub async fn purge_request_outcomes(&mut self, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![before]).await
    }
}
