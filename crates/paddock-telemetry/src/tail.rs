//! Following an app's log live.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use paddock_core::log::{LogFilter, LogLine, Source};
use paddock_core::{AppId, UnixMicros};
use tokio::sync::watch;

use crate::blocking::blocking;
use crate::error::LogError;
use crate::record::LineNumber;
use crate::segment::{Cursor, Segments};

/// About how many bytes one call of [`Tail::next`] looks at.
const BATCH_BYTES: u64 = 128 * 1024;

/// Reads on in an app's log and then waits for more.
///
/// It reads from disk at its own speed and holds no line in memory, so writers never wait for it. A reader so slow
/// that retention removes lines before it comes to them gets an `L11` line that counts them.
#[derive(Debug)]
pub struct Tail {
    app: AppId,
    folder: PathBuf,
    filter: LogFilter,
    next: u64,
    last_at: UnixMicros,
    durable: watch::Receiver<Arc<Segments>>,
    cursor: Cursor,
}

impl Tail {
    pub(crate) fn new(
        app: AppId,
        folder: PathBuf,
        filter: LogFilter,
        after: LineNumber,
        durable: watch::Receiver<Arc<Segments>>,
    ) -> Self {
        let next = {
            let segments = durable.borrow();
            match after.0 {
                0 => segments.oldest(),
                // Beyond the end only by a number that a client made up: it follows from the end on.
                after => after.saturating_add(1).min(segments.next),
            }
        };
        #[expect(clippy::disallowed_methods, reason = "a line of the log is dated by this machine")]
        let last_at = UnixMicros(Timestamp::now().as_microsecond());
        Self { app, folder, filter, next, last_at, durable, cursor: Cursor::default() }
    }

    /// The next matching lines, at least one; `None` when the app's log has been deleted. Dropping the future loses
    /// nothing: the next call starts where this one did.
    ///
    /// # Errors
    /// [`LogError::Disk`].
    pub async fn next(&mut self) -> Result<Option<Vec<(LineNumber, LogLine)>>, LogError> {
        loop {
            // Marked as seen before looking: what becomes durable after this wakes us.
            let segments = self.durable.borrow_and_update().clone();
            if self.next < segments.next {
                let found = self.read(segments).await?;
                if !found.is_empty() {
                    return Ok(Some(found));
                }
            } else if self.durable.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self, segments: Arc<Segments>) -> Result<Vec<(LineNumber, LogLine)>, LogError> {
        let (app, folder, filter) = (self.app, self.folder.clone(), self.filter.clone());
        let (start, since) = (self.next, self.last_at);
        let mut cursor = std::mem::take(&mut self.cursor);
        let (cursor, next, found) = blocking(move || {
            let mut batch = Batch { expected: start, since, found: Vec::new() };
            let next = cursor.read(&folder, &segments, start, BATCH_BYTES, |line| {
                batch.reach(line.number);
                if line.matches(&filter) {
                    batch.found.push((LineNumber(line.number), line.to_line()));
                }
                batch.expected = line.number + 1;
            });
            let next =
                next.map_err(|source| LogError::Disk { doing: "follow", app, source: Arc::new(source) })?;
            batch.reach(next);
            Ok((cursor, next, batch.found))
        })
        .await?;
        self.cursor = cursor;
        self.next = next;
        if let Some((_, line)) = found.last() {
            self.last_at = line.at;
        }
        Ok(found)
    }
}

/// Lines on their way to a reader; numbers without a gap, or a notice of it.
struct Batch {
    expected: u64,
    since: UnixMicros,
    found: Vec<(LineNumber, LogLine)>,
}

impl Batch {
    /// Goes on to line `number`; what lies between is gone.
    fn reach(&mut self, number: u64) {
        let dropped = number.saturating_sub(self.expected);
        if dropped == 0 {
            return;
        }
        let since = self.found.last().map_or(self.since, |(_, line)| line.at);
        let since = Timestamp::from_microsecond(since.0).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = format!(
            "Error L11 (Tail buffer overflow) -> This tail session dropped {dropped} messages since {}+00:00.",
            since.strftime("%Y-%m-%dT%H:%M:%S.%6f")
        );
        #[expect(clippy::disallowed_methods, reason = "a line of the log is dated by this machine")]
        let at = UnixMicros(Timestamp::now().as_microsecond());
        let line = LogLine { at, source: Source::Heroku, process: "logplex".into(), text };
        self.found.push((LineNumber(number - 1), line));
        self.expected = number;
    }
}
