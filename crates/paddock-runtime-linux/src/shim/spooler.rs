//! The output of a container on its way into the spool.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use paddock_core::UnixMicros;
use paddock_ipc::spool::Writer;
use uuid::Uuid;

use super::lines::Lines;
use crate::output::{ENDS_LINE, tag};
use crate::record::{Folder, now};
use paddock_runtime::Stream;

/// Bytes kept for a log plane that is away.
const SPOOL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes taken from one stream before the other gets its turn.
const READ_BYTES: usize = 64 * 1024;
/// How long losses are counted before a line tells of them.
const NOTICE_WAIT: Duration = Duration::from_secs(1);

/// Streams, their lines and the spool.
#[derive(Debug)]
pub(super) struct Spooler {
    writer: Writer,
    streams: Vec<Source>,
    lost: u64,
    lost_since: Option<(Instant, UnixMicros)>,
}

#[derive(Debug)]
struct Source {
    stream: Stream,
    fd: Option<OwnedFd>,
    lines: Lines,
}

impl Spooler {
    /// Reads these streams into the folder's spool.
    pub(super) fn new(folder: &Folder, streams: Vec<(Stream, OwnedFd)>) -> io::Result<Self> {
        let writer = Writer::open(&folder.spool(), SPOOL_BYTES_MAX)?;
        let streams =
            streams.into_iter().map(|(stream, fd)| Source { stream, fd: Some(fd), lines: Lines::default() });
        Ok(Self { writer, streams: streams.collect(), lost: 0, lost_since: None })
    }

    /// What to wait for, by number.
    pub(super) fn open(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.streams
            .iter()
            .enumerate()
            .filter_map(|(index, source)| Some((index, source.fd.as_ref()?.as_fd())))
    }

    /// Reads what one stream has; whether records were written.
    pub(super) fn read(&mut self, index: usize) -> io::Result<bool> {
        let Self { writer, streams, .. } = self;
        let Some(source) = streams.get_mut(index) else { return Ok(false) };
        read_source(writer, source)?;
        self.flush()
    }

    /// Reads everything that is left after the last process has ended, and gives out unfinished lines.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Self { writer, streams, .. } = self;
        for source in streams {
            while source.fd.is_some() && read_source(writer, source)? {}
            source.fd = None;
            let Source { stream, lines, .. } = source;
            lines.finish(|bytes, ends| append(writer, *stream, bytes, ends));
        }
        self.flush()?;
        self.tell_losses(true)
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let notice = self.lost_since.map(|(since, _)| since + NOTICE_WAIT);
        self.streams.iter().filter_map(|source| source.lines.due()).chain(notice).min()
    }

    /// Gives out the starts of lines that have waited, and tells of losses; whether records were written.
    pub(super) fn tick(&mut self, now: Instant) -> io::Result<bool> {
        let before = self.writer.next_seq();
        let Self { writer, streams, .. } = self;
        for Source { stream, lines, .. } in streams {
            lines.flush(now, |bytes, ends| append(writer, *stream, bytes, ends));
        }
        self.flush()?;
        self.tell_losses(self.lost_since.is_some_and(|(since, _)| now >= since + NOTICE_WAIT))?;
        Ok(self.writer.next_seq() > before)
    }

    /// Writes a line of the platform's own.
    pub(super) fn notice(&mut self, line: &str) -> io::Result<bool> {
        append(&mut self.writer, Stream::Notice, line.as_bytes(), true);
        self.flush()
    }

    /// Allows the spool to forget.
    pub(super) fn ack(&mut self, seq: u64) -> io::Result<()> {
        self.writer.ack(seq)
    }

    fn flush(&mut self) -> io::Result<bool> {
        let result = self.writer.flush();
        let lost = self.writer.take_dropped();
        if lost > 0 {
            self.lost += lost;
            self.lost_since.get_or_insert_with(|| (Instant::now(), now()));
        }
        result.map(|()| true)
    }

    /// Writes the counted line about lost ones.
    fn tell_losses(&mut self, is_due: bool) -> io::Result<()> {
        let Some((_, at)) = self.lost_since.filter(|_| is_due) else { return Ok(()) };
        let (lost, since) = (std::mem::take(&mut self.lost), rfc3339(at));
        self.lost_since = None;
        let line = format!("Error L13: {lost} messages lost since {since}.");
        self.notice(&line).map(|_| ())
    }
}

/// Reads once; whether there may be more.
fn read_source(writer: &mut Writer, source: &mut Source) -> io::Result<bool> {
    let Some(fd) = &source.fd else { return Ok(false) };
    let mut buffer = [0; READ_BYTES];
    match rustix::io::read(fd, &mut buffer) {
        Ok(0) => {
            source.fd = None;
            let Source { stream, lines, .. } = source;
            lines.finish(|bytes, ends| append(writer, *stream, bytes, ends));
            Ok(false)
        }
        Ok(count) => {
            let Source { stream, lines, .. } = source;
            lines.feed(&buffer[..count], Instant::now(), |bytes, ends| append(writer, *stream, bytes, ends));
            Ok(true)
        }
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn append(writer: &mut Writer, stream: Stream, bytes: &[u8], ends_line: bool) {
    writer.append(now(), tag(stream), if ends_line { ENDS_LINE } else { 0 }, Uuid::nil(), bytes);
}

/// A time as log lines carry it.
fn rfc3339(at: UnixMicros) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.to_string())
}
