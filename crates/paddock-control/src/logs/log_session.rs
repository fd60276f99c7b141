//! Log sessions: a secret opens an app's log to one reader for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use paddock_core::log::{LogFilter, LogLine, Source};
use paddock_core::{AccountId, AppId, AppRef, LogSessionId, ProcessType, UnixMicros};
use paddock_store::{NewLogSession, SecretSha256, Store, StoreError};
use paddock_telemetry::{LineNumber, Tail, render, sse_event};
use uuid::Uuid;

use crate::kernel::access::may_operate;
use crate::kernel::error::chain;
use crate::kernel::secret;
use crate::logs::Logs;
use crate::{Actor, Clock, Error, Result};

/// How long a session can be opened and re-opened.
const SESSION_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long somebody who may not see the app any more may still be shown new lines.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LINES_DEFAULT: i64 = 100;
/// As many as are kept at least.
const LINES_MAX: i64 = 1500;
const NAME_BYTES_MAX: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSessionOrder {
    /// A dyno, a process type, or a process of the platform.
    pub dyno: Option<String>,
    pub process_type: Option<String>,
    /// `app`, `heroku`, or a process of the platform such as `router`.
    pub source: Option<String>,
    /// How many past lines.
    pub lines: Option<i64>,
    /// Whether to go on with new lines.
    pub tail: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    pub id: LogSessionId,
    pub secret: String,
    pub created_at: UnixMicros,
}

impl Logs {
    /// Makes a log session.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for malformed names.
    pub async fn create_log_session(
        &self,
        actor: &Actor,
        app: &AppRef,
        order: LogSessionOrder,
    ) -> Result<NewSession> {
        let app = self.kernel.visible_app(actor, app).await?;
        let (source, dyno) = filters(order.source, order.dyno)?;
        let process_type = order.process_type.map(|text| text.parse::<ProcessType>()).transpose();
        let lines = order.lines.unwrap_or(LINES_DEFAULT).clamp(0, LINES_MAX);
        let (id, secret, now) =
            (LogSessionId::from_uuid(Uuid::now_v7()), secret::random(), self.kernel.now());
        let new = NewLogSession {
            id,
            secret_sha256: secret::sha256(&secret),
            app_id: app.id,
            account_id: actor.account_id,
            dyno,
            source,
            process_type: process_type.map_err(|error| Error::invalid(format!("{error}.")))?,
            lines: u32::try_from(lines).unwrap_or(0),
            tail: order.tail,
            expires_at: now + SESSION_LIFE,
        };
        let mut tx = self.kernel.record("make a log session").await?;
        tx.create_log_session(&new).await?;
        tx.commit_quietly("log_session.made").await?;
        Ok(NewSession { id, secret, created_at: now })
    }

    /// Opens a session: from its beginning, or after the line with this number.
    ///
    /// # Errors
    /// `not_found` for a secret that opens nothing, or no longer, or was given to somebody who may not see the app any
    /// more.
    pub async fn read_log_session(&self, session_secret: &str, after: Option<u64>) -> Result<LogReader> {
        let found = self.kernel.store.log_session_by_secret(&secret::sha256(session_secret)).await?;
        let alive = found.filter(|session| session.expires_at > self.kernel.now());
        let session = alive.ok_or_else(|| Error::not_found("log_session"))?;
        let reader = session.account_id.map(|account| Reader {
            store: self.kernel.store.clone(),
            account,
            app: session.app_id,
            session: session.secret_sha256,
            until: session.expires_at,
            clock: self.kernel.clock.clone(),
            looked_at: Instant::now(),
        });
        if let Some(reader) = &reader
            && !reader.may_read().await?
        {
            return Err(Error::not_found("log_session"));
        }
        let filter = LogFilter {
            source: session.source.as_deref().and_then(Source::from_name),
            dyno: session.dyno,
            process_type: session.process_type.map(|process_type| process_type.to_string()),
        };
        let read = |error| Error::internal("read a log", error);
        let lines = usize::try_from(session.lines).unwrap_or(0);
        let backlog = self.kernel.logs.read(session.app_id, filter.clone(), lines).await.map_err(read)?;
        let tail = match session.tail {
            false => None,
            true => {
                let from = after.map_or(backlog.up_to, LineNumber);
                Some(self.kernel.logs.tail(session.app_id, filter, from).await.map_err(read)?)
            }
        };
        let resumed = after.filter(|_| tail.is_some()).is_some();
        let seen = after.map_or(0, |after| after);
        let lines = backlog.lines.into_iter().filter(|(number, _)| number.0 > seen);
        Ok(LogReader { ready: if resumed { VecDeque::new() } else { lines.collect() }, tail, reader })
    }
}

struct Reader {
    store: Store,
    account: AccountId,
    app: AppId,
    session: SecretSha256,
    /// When the session expires and its row goes; whoever is reading by then reads on.
    until: UnixMicros,
    clock: Arc<dyn Clock>,
    looked_at: Instant,
}

impl Reader {
    async fn may_read(&self) -> std::result::Result<bool, StoreError> {
        let is_ended =
            self.clock.now() < self.until && self.store.log_session_by_secret(&self.session).await?.is_none();
        Ok(!is_ended && may_operate(&self.store, self.account, self.app).await?)
    }

    /// Looks again, if the last look was a while ago.
    async fn may_still_read(&mut self) -> bool {
        if self.looked_at.elapsed() < LOOK_AGAIN {
            return true;
        }
        self.looked_at = Instant::now();
        match self.may_read().await {
            Ok(may) => may,
            Err(error) => {
                // A database that restarts ends nobody's tail; the next look tells.
                tracing::warn!(error = chain(&error), "could not look whether a log may still be read");
                true
            }
        }
    }
}

/// The source and the process to filter by. The platform's processes are asked for as sources, too.
fn filters(source: Option<String>, dyno: Option<String>) -> Result<(Option<String>, Option<String>)> {
    let too_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > NAME_BYTES_MAX);
    if too_long(&source) || too_long(&dyno) {
        return Err(Error::invalid(format!("A dyno or source has at most {NAME_BYTES_MAX} characters.")));
    }
    Ok(match source {
        Some(process) if Source::from_name(&process).is_none() => (None, dyno.or(Some(process))),
        source => (source, dyno),
    })
}

/// Reads one session: what is there, then, for a tail, what comes.
pub struct LogReader {
    ready: VecDeque<(LineNumber, LogLine)>,
    tail: Option<Tail>,
    reader: Option<Reader>,
}

impl LogReader {
    /// Whether it goes on with new lines.
    #[must_use]
    pub fn is_tail(&self) -> bool {
        self.tail.is_some()
    }

    /// The next line as a server-sent event; `None` at the end. Dropping the future loses nothing.
    pub async fn next_event(&mut self) -> Option<Bytes> {
        let (number, line) = self.next().await?;
        Some(sse_event(number, &render(&line)))
    }

    /// The next line as it is printed; `None` at the end. Dropping the future loses nothing.
    pub async fn next_line(&mut self) -> Option<Bytes> {
        let (_, line) = self.next().await?;
        Some(Bytes::from(render(&line) + "\n"))
    }

    async fn next(&mut self) -> Option<(LineNumber, LogLine)> {
        loop {
            if let Some(numbered) = self.ready.pop_front() {
                return Some(numbered);
            }
            match self.tail.as_mut()?.next().await {
                Ok(Some(lines)) => {
                    self.ready = lines.into();
                    if let Some(reader) = &mut self.reader
                        && !reader.may_still_read().await
                    {
                        return None;
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!(error = chain(&error), "could not go on reading a log");
                    return None;
                }
            }
        }
    }
}
