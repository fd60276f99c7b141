//! Request records: from requests through a bounded queue to the one thread that writes the spool.
//!
//! A request never waits for the disk. When the queue is full its record is counted instead, and an L13 line in the
//! app's own log says how many were lost.

pub(crate) mod line;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paddock_core::UnixMicros;
use paddock_core::code::LogCode;
use paddock_ipc::spool::{Writer, hold_new};
use uuid::Uuid;

/// Tag of a record that is a router line (source `heroku`, process `router`); its key is the app's id.
pub const TAG_REQUEST: u8 = 0;
/// Tag of a record that says how many lines of the app were lost; a nil key means that the apps are not known.
pub const TAG_LOST: u8 = 1;

/// Records that wait for the writer; some 10 MB at most.
const QUEUE: usize = 32 * 1024;
/// How long the writer lets records gather: one write for all of them.
const GATHER: Duration = Duration::from_millis(5);
/// Records per write at most.
const BATCH: usize = 4096;

enum Command {
    Record { at: UnixMicros, app: Uuid, line: String },
    Ack { seq: u64, done: SyncSender<io::Result<()>> },
    End,
}

/// Where records go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Records {
    queue: SyncSender<Command>,
    lost: Arc<Mutex<Lost>>,
}

/// Lines lost by app since the writer looked last.
#[derive(Default)]
struct Lost {
    by_app: HashMap<Uuid, u64>,
    since: Option<UnixMicros>,
}

pub(crate) struct RecordWriter {
    queue: SyncSender<Command>,
    thread: JoinHandle<()>,
}

/// Makes the spool `name` in `folder` and starts its writer.
pub(crate) fn open(folder: &Path, name: Uuid, limit_bytes: u64) -> io::Result<(Records, RecordWriter)> {
    let (path, held) = hold_new(folder, name)?;
    let spool = Writer::open(&path, limit_bytes)?;
    let (queue, commands) = sync_channel(QUEUE);
    let lost = Arc::new(Mutex::new(Lost::default()));
    let records = Records { queue: queue.clone(), lost: lost.clone() };
    let thread = std::thread::Builder::new().name("records".into()).spawn(move || {
        write_all(spool, &commands, &lost);
        drop(held);
    })?;
    Ok((records, RecordWriter { queue, thread }))
}

impl Records {
    /// Hands a line over; never waits.
    pub(crate) fn push(&self, app: Uuid, line: String) {
        let at = now();
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Command::Record { at, app, line }) {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.since.get_or_insert(at);
            *lost.by_app.entry(app).or_default() += 1;
        }
    }

    /// Forgets records up to `seq`. Blocks until that is done.
    pub(crate) fn ack(&self, seq: u64) -> io::Result<()> {
        let (done, answer) = sync_channel(1);
        let ended = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.queue.send(Command::Ack { seq, done }).map_err(|_| ended())?;
        answer.recv().map_err(|_| ended())?
    }
}

impl RecordWriter {
    /// Writes what was handed over until now, and ends. Blocks.
    pub(crate) fn end(self) {
        // A thread that is gone already has said why.
        let _ = self.queue.send(Command::End);
        let _ = self.thread.join();
    }
}

fn write_all(mut spool: Writer, commands: &Receiver<Command>, lost: &Mutex<Lost>) {
    let mut goes_on = true;
    while goes_on {
        goes_on = match commands.recv() {
            Ok(first) => {
                let mut goes_on = carry_out(&mut spool, first);
                // Nobody unparks this thread: this is the time in which further records gather.
                std::thread::park_timeout(GATHER);
                for next in commands.try_iter().take(BATCH) {
                    goes_on &= carry_out(&mut spool, next);
                }
                goes_on
            }
            Err(RecvError) => false,
        };
        append_losses(&mut spool, lost);
        if let Err(error) = spool.flush() {
            tracing::error!(%error, "request records could not be written");
        }
    }
}

/// False when it was the last command.
fn carry_out(spool: &mut Writer, command: Command) -> bool {
    match command {
        Command::Record { at, app, line } => {
            spool.append(at, TAG_REQUEST, 0, app, line.as_bytes());
        }
        Command::Ack { seq, done } => {
            // Nobody waits any more: the acknowledgement stands all the same.
            let _ = done.send(spool.ack(seq));
        }
        Command::End => return false,
    }
    true
}

fn append_losses(spool: &mut Writer, lost: &Mutex<Lost>) {
    let lost = std::mem::take(&mut *lost.lock().unwrap_or_else(PoisonError::into_inner));
    let now = now();
    let since = lost.since.unwrap_or(now);
    for (app, count) in lost.by_app {
        spool.append(now, TAG_LOST, 0, app, loss_line(count, since).as_bytes());
    }
    match spool.take_dropped() {
        0 => {}
        dropped => {
            tracing::warn!(records.dropped = dropped, "the spool is full: its oldest records were dropped");
            spool.append(now, TAG_LOST, 0, Uuid::nil(), loss_line(dropped, now).as_bytes());
        }
    }
}

fn loss_line(lost: u64, since: UnixMicros) -> String {
    let since = match jiff::Timestamp::from_microsecond(since.0) {
        Ok(since) => since.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string(),
        Err(_) => String::new(),
    };
    LogCode::L13 { lost, since }.line()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a record says by the clock of this machine when a request ended"
)]
fn now() -> UnixMicros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use paddock_ipc::spool::Reader;

    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_in_the_apps_own_log() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, commands) = sync_channel(2);
        let lost = Arc::new(Mutex::new(Lost::default()));
        let records = Records { queue: queue.clone(), lost: lost.clone() };
        let app = Uuid::from_u128(7);
        for n in 0..5 {
            records.push(app, format!("line {n}"));
        }
        let spool = Writer::open(folder.path(), 1024 * 1024).unwrap();
        let writer = std::thread::spawn(move || write_all(spool, &commands, &lost));
        queue.send(Command::End).unwrap();
        writer.join().unwrap();
        let read = Reader::new(folder.path(), 0).next_batch(64 * 1024).unwrap();
        let tags: Vec<_> = read.iter().map(|record| (record.tag, record.key)).collect();
        assert_eq!(tags, [(TAG_REQUEST, app), (TAG_REQUEST, app), (TAG_LOST, app)]);
        let notice = String::from_utf8(read[2].bytes.clone()).unwrap();
        assert!(notice.starts_with("Error L13: 3 messages lost since 2"), "{notice}");
        assert!(notice.ends_with("+00:00."), "{notice}");
    }
}
