//! Log sessions: one-purpose URLs to read an app's log.

use paddock_core::{AccountId, AppId, LogSessionId, ProcessType, UnixMicros};

use crate::engine::{reads, row, statements, values};
use crate::error::Result;
use crate::{SecretSha256, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSession {
    pub id: LogSessionId,
    /// SHA-256 of the secret in its URL.
    pub secret_sha256: SecretSha256,
    pub app_id: AppId,
    /// Who asked for it; `None` for one of a version that did not note it.
    pub account_id: Option<AccountId>,
    /// Only this dyno (or process name).
    pub dyno: Option<String>,
    pub source: Option<String>,
    /// Only dynos of this process type.
    pub process_type: Option<ProcessType>,
    /// How many past lines to begin with.
    pub lines: u32,
    /// Whether to go on with new lines.
    pub tail: bool,
    pub created_at: UnixMicros,
    pub expires_at: UnixMicros,
}

row!(LogSession { id, secret_sha256, app_id, lines, tail, created_at, expires_at }
    optional { account_id, dyno, source, process_type });

/// What a new log session is made of; fields as in [`LogSession`].
#[derive(Debug, Clone)]
pub struct NewLogSession {
    pub id: LogSessionId,
    /// SHA-256 of the secret in its URL.
    pub secret_sha256: SecretSha256,
    pub app_id: AppId,
    pub account_id: AccountId,
    pub dyno: Option<String>,
    pub source: Option<String>,
    /// Only dynos of this process type.
    pub process_type: Option<ProcessType>,
    /// How many past lines to begin with.
    pub lines: u32,
    /// Whether to go on with new lines.
    pub tail: bool,
    pub expires_at: UnixMicros,
}

statements! {
    BY_SECRET = "SELECT * FROM log_sessions WHERE secret_sha256 = $1";
    CREATE = "INSERT INTO log_sessions (id, secret_sha256, app_id, account_id, dyno, source, process_type, lines, \
        tail, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    PURGE = "DELETE FROM log_sessions WHERE expires_at < $1";
}

reads! {
    /// The log session whose URL has the secret with this SHA-256. It may have expired.
    log_session_by_secret(sha256: &SecretSha256) -> one LogSession: BY_SECRET [*sha256];
}

impl Tx {
    pub async fn create_log_session(&mut self, new: &NewLogSession) -> Result<()> {
        let values = values![
            new.id,
            new.secret_sha256,
            new.app_id,
            new.account_id,
            new.dyno,
            new.source,
            new.process_type,
            new.lines,
            new.tail,
            self.now,
            new.expires_at
        ];
        self.execute(CREATE, values).await.map(drop)
    }

    /// Deletes log sessions that expired before `now`. How many.
    pub async fn purge_log_sessions(&mut self, now: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![now]).await
    }
}
