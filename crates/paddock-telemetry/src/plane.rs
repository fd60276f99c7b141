//! The log plane: durable lines per app.
//!
//! Appends to one app queue up while a commit is under way and then share the next one: one write, one fsync. Each
//! app has its own files, so apps do not wait for each other beyond a bound on commits at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use paddock_core::durable;
use paddock_core::log::{LogFilter, LogLine};
use paddock_core::{AppId, UnixMicros};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::blocking::blocking;
use crate::error::LogError;
use crate::record::{LineNumber, line_bytes};
use crate::segment::{Cursor, Lines, Segments, Writer, list_segments, restore};
use crate::tail::Tail;

/// Bytes that may wait for a commit of one app; further appends wait for room.
const PENDING_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// Bytes after which a batch is committed even if more is waiting.
const BATCH_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// Commits under way at once, over all apps.
const COMMITS_AT_ONCE: usize = 8;
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024;
const SEGMENT_BYTES_MIN: u64 = 4 * 1024;

/// How long lines are kept. Heroku keeps 1,500 lines for a week (`docs/contract/platform-behaviour.md`, section 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Lines that are kept however old they are.
    pub lines_min: u64,
    /// Lines younger than this are kept however many they are.
    pub age_min: Duration,
    /// Bytes of one app's log on disk; wins over the other two.
    pub bytes_max: u64,
}

/// The last lines of a log, and where a [`Tail`] goes on without gap or repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Matching lines, oldest first.
    pub lines: Vec<(LineNumber, LogLine)>,
    /// The newest line that was considered: the `after` of a tail that follows on.
    pub up_to: LineNumber,
}

/// Accepts, keeps and reads the log lines of all apps. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogPlane {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    retention: Retention,
    apps: Mutex<HashMap<AppId, Arc<AppLog>>>,
    /// Apps whose log was deleted by this process.
    deleted: Mutex<HashSet<AppId>>,
    commits: Semaphore,
}

impl LogPlane {
    /// Uses `folder` (made if missing; one folder per app in it). Apps are read when first needed.
    ///
    /// # Errors
    /// [`LogError::Folder`].
    pub fn open(folder: PathBuf, retention: Retention) -> Result<Self, LogError> {
        if let Err(source) = std::fs::create_dir_all(&folder) {
            return Err(LogError::Folder { folder, source: Arc::new(source) });
        }
        let apps = Mutex::default();
        let commits = Semaphore::new(COMMITS_AT_ONCE);
        Ok(Self { shared: Arc::new(Shared { folder, retention, apps, deleted: Mutex::default(), commits }) })
    }

    /// Adds lines to an app's log; returns once they are on disk.
    ///
    /// # Errors
    /// [`LogError`]; nothing of the call is promised then. Dropping the future does not take the lines back.
    pub async fn append(&self, app: AppId, lines: Vec<LogLine>) -> Result<(), LogError> {
        self.log(app).await?.append(&self.shared, Lines::Plain(lines)).await
    }

    /// Adds lines of a spool, whose records may come again after a crash: what was taken before is left out. Returns,
    /// once all is on disk, the number up to which the spool may forget this app's records.
    ///
    /// `records` ascend; gaps are fine. A spool that starts anew at 1 must have a new id.
    ///
    /// # Errors
    /// As [`Self::append`]; send the records again.
    pub async fn append_from(
        &self,
        app: AppId,
        spool: Uuid,
        records: Vec<(u64, LogLine)>,
    ) -> Result<u64, LogError> {
        let last = records.last().map_or(0, |(seq, _)| *seq);
        self.log(app).await?.append(&self.shared, Lines::Spooled(spool, records)).await?;
        Ok(last)
    }

    /// The last number of a spool that is durable in this app's log; 0 when there is none.
    pub async fn last_seq(&self, app: AppId, spool: Uuid) -> Result<u64, LogError> {
        let log = self.log(app).await?;
        blocking(move || log.with_writer("read", |writer| Ok(writer.last_seq(spool)))).await
    }

    /// The last `backlog_lines` lines that match.
    pub async fn read(
        &self,
        app: AppId,
        filter: LogFilter,
        backlog_lines: usize,
    ) -> Result<Backlog, LogError> {
        let log = self.log(app).await?;
        let segments = log.durable.borrow().clone();
        blocking(move || {
            read_last(&log.folder, &segments, &filter, backlog_lines)
                .map_err(|source| log.failed("read", source))
        })
        .await
    }

    /// Follows an app's log from the line after `after` on; the start of what is kept for number 0.
    pub async fn tail(&self, app: AppId, filter: LogFilter, after: LineNumber) -> Result<Tail, LogError> {
        let log = self.log(app).await?;
        Ok(Tail::new(app, log.folder.clone(), filter, after, log.durable.subscribe()))
    }

    /// The apps that have a log.
    ///
    /// # Errors
    /// [`LogError::Folder`].
    pub async fn apps(&self) -> Result<Vec<AppId>, LogError> {
        let folder = self.shared.folder.clone();
        blocking(move || {
            apps_in(&folder).map_err(|source| LogError::Folder { folder, source: Arc::new(source) })
        })
        .await
    }

    /// Removes what is beyond the retention of these apps at `now`. Run it from time to time for each; the cap on bytes is
    /// held at each append anyway.
    ///
    /// # Errors
    /// The first failure, after all apps were tried.
    pub async fn retain(&self, apps: &[AppId], now: UnixMicros) -> Result<(), LogError> {
        let mut outcome = Ok(());
        for app in apps {
            let retained = match self.may_shorten(*app).await {
                Ok(true) => match self.log(*app).await {
                    Ok(log) => blocking(move || log.retain(Some(now))).await,
                    Err(error) => Err(error),
                },
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            // Deleted since the folder was listed: there is nothing to shorten.
            let retained = match retained {
                Err(LogError::Deleted(_)) => Ok(()),
                retained => retained,
            };
            outcome = outcome.and(retained);
        }
        outcome
    }

    /// Whether an app's log has more than the one segment that stays in any case. Nothing is read for it: a log that nobody
    /// uses is as well left on disk.
    async fn may_shorten(&self, app: AppId) -> Result<bool, LogError> {
        let folder = self.shared.folder.join(app.to_string());
        blocking(move || {
            let segments = list_segments(&folder);
            segments.map(|segments| segments.len() > 1).map_err(|source| LogError::Disk {
                doing: "list",
                app,
                source: Arc::new(source),
            })
        })
        .await
    }

    /// Lets go of logs that nobody uses and nobody has used for so long: they are read from disk when they are needed again.
    pub fn forget_unused(&self, unused_for: Duration) {
        lock(&self.shared.apps)
            .retain(|_, log| Arc::strong_count(log) > 1 || !log.may_be_forgotten(unused_for));
    }

    /// Deletes an app's log. Its tails end, and from now on its lines are refused: one that comes late does not bring the
    /// log back. Deleting what is gone succeeds.
    ///
    /// # Errors
    /// [`LogError::Disk`]; call it again.
    pub async fn delete_app(&self, app: AppId) -> Result<(), LogError> {
        let log = self.shared.log(app);
        let shared = self.shared.clone();
        blocking(move || {
            // With the writer's lock held no commit is under way, and later ones see that it is deleted.
            let mut writer = lock(&log.writer);
            writer.state = WriterState::Deleted;
            match durable!("log.deleted", std::fs::remove_dir_all(&log.folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(log.failed("delete", error));
                }
                _ => {}
            }
            lock(&shared.deleted).insert(app);
            lock(&shared.apps).remove(&app);
            Ok(())
        })
        .await
    }

    /// The app's log, read from disk if this is its first use.
    async fn log(&self, app: AppId) -> Result<Arc<AppLog>, LogError> {
        if lock(&self.shared.deleted).contains(&app) {
            return Err(LogError::Deleted(app));
        }
        let log = self.shared.log(app);
        if !log.is_read.load(Ordering::Acquire) {
            let log = log.clone();
            blocking(move || log.with_writer("open", |_| Ok(()))).await?;
        }
        Ok(log)
    }
}

impl Shared {
    fn log(&self, app: AppId) -> Arc<AppLog> {
        let mut apps = lock(&self.apps);
        let log = apps.entry(app).or_insert_with(|| {
            let folder = self.folder.join(app.to_string());
            Arc::new(AppLog::new(app, folder, self.retention))
        });
        *lock(&log.used_at) = Instant::now();
        log.clone()
    }
}

#[derive(Debug)]
struct AppLog {
    app: AppId,
    folder: PathBuf,
    retention: Retention,
    is_read: AtomicBool,
    used_at: Mutex<Instant>,
    writer: Mutex<AppWriter>,
    queue: Mutex<Queue>,
    room: Arc<Semaphore>,
    /// What is durable, and the wake-up of tails.
    durable: watch::Sender<Arc<Segments>>,
}

#[derive(Debug)]
struct AppWriter {
    state: WriterState,
}

#[derive(Debug)]
enum WriterState {
    /// Not read from disk yet.
    Unread,
    Ready(Box<Writer>),
    /// A write failed: what is on disk may be more than was promised.
    Failed,
    Deleted,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    is_committing: bool,
}

/// An append that waits for its commit.
#[derive(Debug)]
struct Pending {
    lines: Lines,
    cost: u32,
    done: oneshot::Sender<Result<(), LogError>>,
    _room: OwnedSemaphorePermit,
}

impl AppLog {
    fn new(app: AppId, folder: PathBuf, retention: Retention) -> Self {
        Self {
            app,
            folder,
            retention,
            is_read: AtomicBool::new(false),
            used_at: Mutex::new(Instant::now()),
            writer: Mutex::new(AppWriter { state: WriterState::Unread }),
            queue: Mutex::default(),
            room: Arc::new(Semaphore::new(PENDING_BYTES_MAX as usize)),
            durable: watch::Sender::new(Arc::new(Segments::default())),
        }
    }

    async fn append(self: Arc<Self>, shared: &Arc<Shared>, lines: Lines) -> Result<(), LogError> {
        let cost = cost(&lines);
        let room = self.room.clone().acquire_many_owned(cost).await.map_err(|_| LogError::ShuttingDown)?;
        let (done, outcome) = oneshot::channel();
        let must_start = {
            let mut queue = lock(&self.queue);
            queue.waiting.push_back(Pending { lines, cost, done, _room: room });
            !std::mem::replace(&mut queue.is_committing, true)
        };
        if must_start {
            #[expect(clippy::disallowed_methods, reason = "whoever appends waits for what comes of it")]
            tokio::spawn(commit_all(shared.clone(), self));
        }
        outcome.await.unwrap_or(Err(LogError::ShuttingDown))
    }

    /// Whether it can be had from disk again as it is. What a write that failed left there is not what was promised.
    fn may_be_forgotten(&self, unused_for: Duration) -> bool {
        let is_whole = !matches!(lock(&self.writer).state, WriterState::Failed);
        let is_followed = self.durable.receiver_count() > 0;
        is_whole && !is_followed && lock(&self.used_at).elapsed() >= unused_for
    }

    /// Writes a batch and tells those who wait for it.
    fn commit(&self, batch: Vec<Pending>) {
        let outcome = self.with_writer("write", |writer| {
            batch.iter().try_for_each(|pending| writer.add(&pending.lines))?;
            writer.commit()?;
            writer.rest();
            writer.retain(self.retention.bytes_max, u64::MAX, |_| false)
        });
        for pending in batch {
            // Whoever gave up waiting is not told.
            let _ = pending.done.send(outcome.clone());
        }
    }

    fn retain(&self, now: Option<UnixMicros>) -> Result<(), LogError> {
        let Retention { lines_min, age_min, bytes_max } = self.retention;
        let now = UNIX_EPOCH + now.unwrap_or_default().since(UnixMicros(0));
        let is_old = |written: SystemTime| now.duration_since(written).is_ok_and(|age| age > age_min);
        self.with_writer("shorten", |writer| writer.retain(bytes_max, lines_min, is_old))
    }

    /// Gives the writer to `work`, read from disk or repaired if need be, and shows the outcome to readers.
    fn with_writer<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Writer) -> io::Result<T>,
    ) -> Result<T, LogError> {
        let mut guard = lock(&self.writer);
        if matches!(guard.state, WriterState::Unread | WriterState::Failed) {
            if matches!(guard.state, WriterState::Failed) {
                restore(&self.folder, &self.durable.borrow())
                    .map_err(|source| self.failed("repair", source))?;
            }
            let writer = Writer::open(&self.folder, segment_bytes(&self.retention))
                .map_err(|source| self.failed("open", source))?;
            self.durable.send_replace(Arc::new(writer.segments().clone()));
            self.is_read.store(true, Ordering::Release);
            guard.state = WriterState::Ready(Box::new(writer));
        }
        let WriterState::Ready(writer) = &mut guard.state else { return Err(LogError::Deleted(self.app)) };
        match work(writer) {
            Ok(value) => {
                if **self.durable.borrow() != *writer.segments() {
                    self.durable.send_replace(Arc::new(writer.segments().clone()));
                }
                Ok(value)
            }
            Err(source) => {
                guard.state = WriterState::Failed;
                Err(self.failed(doing, source))
            }
        }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> LogError {
        LogError::Disk { doing, app: self.app, source: Arc::new(source) }
    }
}

/// Commits batch after batch until nothing waits.
async fn commit_all(shared: Arc<Shared>, log: Arc<AppLog>) {
    loop {
        let Ok(_permit) = shared.commits.acquire().await else { return };
        let Some(batch) = next_batch(&mut lock(&log.queue)) else { return };
        let committing = log.clone();
        if spawn_blocking(move || committing.commit(batch)).await.is_err() {
            // The commit panicked. Those who wait learn it by their senders being dropped; the next append starts anew.
            *lock(&log.queue) = Queue::default();
            return;
        }
    }
}

/// What goes into one commit; when nothing waits, the committer is done, which is noted under the same lock.
fn next_batch(queue: &mut Queue) -> Option<Vec<Pending>> {
    let mut batch: Vec<Pending> = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES_MAX
        && let Some(pending) = queue.waiting.pop_front()
    {
        bytes += pending.cost;
        batch.push(pending);
    }
    queue.is_committing = !batch.is_empty();
    (!batch.is_empty()).then_some(batch)
}

fn cost(lines: &Lines) -> u32 {
    let bytes: usize = match lines {
        Lines::Plain(lines) => lines.iter().map(line_bytes).sum(),
        Lines::Spooled(_, records) => records.iter().map(|(_, line)| line_bytes(line)).sum(),
    };
    u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, PENDING_BYTES_MAX)
}

fn segment_bytes(retention: &Retention) -> u64 {
    (retention.bytes_max / 8).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
}

/// The last matching lines, read segment by segment from the newest back.
fn read_last(folder: &Path, segments: &Segments, filter: &LogFilter, wanted: usize) -> io::Result<Backlog> {
    let mut found: VecDeque<(LineNumber, LogLine)> = VecDeque::new();
    let mut end = segments.next;
    for segment in segments.list.iter().rev() {
        if found.len() >= wanted {
            break;
        }
        let one = Arc::new(Segments { list: vec![*segment], next: end });
        let mut matching: VecDeque<(LineNumber, LogLine)> = VecDeque::new();
        let mut cursor = Cursor::default();
        cursor.read(folder, &one, segment.first, segment.bytes + 1, |line| {
            if line.matches(filter) {
                matching.push_back((LineNumber(line.number), line.to_line()));
                if found.len() + matching.len() > wanted {
                    matching.pop_front();
                }
            }
        })?;
        end = segment.first;
        while let Some(line) = matching.pop_back() {
            found.push_front(line);
        }
    }
    Ok(Backlog { lines: found.into(), up_to: LineNumber(segments.next.saturating_sub(1)) })
}

fn apps_in(folder: &Path) -> io::Result<Vec<AppId>> {
    let mut apps = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        apps.extend(entry?.file_name().to_str().and_then(|name| name.parse::<AppId>().ok()));
    }
    Ok(apps)
}

/// Locks; a panic elsewhere leaves states that are repaired from disk, so poison does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
