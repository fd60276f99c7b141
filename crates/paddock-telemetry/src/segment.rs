//! The segments of one app on disk: writing, repair after a crash, retention.
//!
//! Only the newest segment is ever written. A view ([`Segments`]) names what is durable: readers look at nothing
//! beyond it, and after a failed write the disk is brought back to it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paddock_core::durable;
use paddock_core::log::LogLine;
use uuid::Uuid;

use crate::record::{self, Record, SPOOLS_MAX, SpoolPosition};

/// One segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Number of its first line; its name.
    pub(crate) first: u64,
    /// Durable bytes.
    pub(crate) bytes: u64,
}

/// The durable part of an app's log, oldest segment first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segments {
    pub(crate) list: Vec<Segment>,
    /// The number that the next line will get; all below it are durable.
    pub(crate) next: u64,
}

impl Segments {
    /// Number of the first line of the segment after this one, or the next line.
    fn end_of(&self, index: usize) -> u64 {
        self.list.get(index + 1).map_or(self.next, |segment| segment.first)
    }

    /// The number of the oldest line that can be read.
    pub(crate) fn oldest(&self) -> u64 {
        self.list.first().map_or(self.next, |segment| segment.first)
    }

    fn bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.bytes).sum()
    }
}

/// Lines to write, as they were given.
#[derive(Debug)]
pub(crate) enum Lines {
    Plain(Vec<LogLine>),
    Spooled(Uuid, Vec<(u64, LogLine)>),
}

/// Writes the segments of one app.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    segment_bytes: u64,
    segments: Segments,
    spools: HashMap<Uuid, SpoolPosition>,
    /// The newest segment while lines are being written.
    file: Option<File>,
    buffer: Vec<u8>,
}

impl Writer {
    /// Reads what is on disk, cuts a torn tail off and makes the rest durable.
    pub(crate) fn open(folder: &Path, segment_bytes: u64) -> io::Result<Self> {
        let mut writer = Self {
            folder: folder.to_owned(),
            segment_bytes,
            segments: Segments { list: list_segments(folder)?, next: 1 },
            spools: HashMap::new(),
            file: None,
            buffer: Vec::new(),
        };
        while let Some(last) = writer.segments.list.last().copied() {
            if writer.recover(last)? {
                return Ok(writer);
            }
            // Not even its table was written: the kill came while it was made, and nothing in it was promised.
            durable!("log.empty_segment_removed", std::fs::remove_file(segment_path(folder, last.first)))?;
            sync_folder(folder)?;
            writer.segments.list.pop();
        }
        Ok(writer)
    }

    /// Takes state from the newest segment; false when it holds no whole record.
    fn recover(&mut self, last: Segment) -> io::Result<bool> {
        let mut file =
            OpenOptions::new().read(true).write(true).open(segment_path(&self.folder, last.first))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut used, mut next) = (0, last.first);
        while let Some((record, length)) = record::parse(&bytes[used..]) {
            match record {
                Record::Table(table) => self.spools = table.into_iter().collect(),
                Record::Line(line) => {
                    next = line.number + 1;
                    self.remember(line.spool, line.seq, line.number);
                }
            }
            used += length;
        }
        if used < bytes.len() {
            tracing::info!(path = %segment_path(&self.folder, last.first).display(), cut_bytes = bytes.len() - used,
                "cut a torn tail off a log segment");
            durable!("log.tail_cut", file.set_len(used as u64))?;
        }
        // Lines that were written but not yet fsynced when the process was killed are promised from here on.
        durable!("log.recovered", file.sync_data())?;
        sync_folder(&self.folder)?;
        if let Some(segment) = self.segments.list.last_mut() {
            segment.bytes = used as u64;
        }
        self.segments.next = next;
        Ok(used > 0)
    }

    pub(crate) fn segments(&self) -> &Segments {
        &self.segments
    }

    pub(crate) fn last_seq(&self, spool: Uuid) -> u64 {
        self.spools.get(&spool).map_or(0, |position| position.seq)
    }

    fn remember(&mut self, spool: Uuid, seq: u64, number: u64) {
        if spool.is_nil() {
            return;
        }
        self.spools.insert(spool, SpoolPosition { seq, number });
        if self.spools.len() > 2 * SPOOLS_MAX {
            let mut numbers: Vec<u64> = self.spools.values().map(|position| position.number).collect();
            let (_, oldest_kept, _) = numbers.select_nth_unstable(SPOOLS_MAX);
            let oldest_kept = *oldest_kept;
            self.spools.retain(|_, position| position.number >= oldest_kept);
        }
    }

    /// Adds lines; durable after [`Self::commit`]. Repeats of a spool's records are left out.
    pub(crate) fn add(&mut self, lines: &Lines) -> io::Result<()> {
        match lines {
            Lines::Plain(lines) => lines.iter().try_for_each(|line| self.add_line(Uuid::nil(), 0, line)),
            Lines::Spooled(spool, records) => records.iter().try_for_each(|(seq, line)| {
                if *seq <= self.last_seq(*spool) {
                    return Ok(());
                }
                self.add_line(*spool, *seq, line)
            }),
        }
    }

    fn add_line(&mut self, spool: Uuid, seq: u64, line: &LogLine) -> io::Result<()> {
        let filled = self.segments.list.last().map_or(u64::MAX, |last| last.bytes + self.buffer.len() as u64);
        if filled >= self.segment_bytes {
            self.rotate()?;
        }
        let number = self.segments.next;
        record::encode_line(&mut self.buffer, number, spool, seq, line);
        self.segments.next += 1;
        self.remember(spool, seq, number);
        Ok(())
    }

    /// Ends the newest segment and begins another with the table of spools.
    fn rotate(&mut self) -> io::Result<()> {
        if self.segments.list.is_empty() {
            std::fs::create_dir_all(&self.folder)?;
            self.folder.parent().map_or(Ok(()), sync_folder)?;
        } else {
            self.commit()?;
        }
        let first = self.segments.next;
        let path = segment_path(&self.folder, first);
        self.file = Some(durable!(
            "log.segment_begun",
            OpenOptions::new().create(true).write(true).truncate(true).open(path)
        )?);
        sync_folder(&self.folder)?;
        self.segments.list.push(Segment { first, bytes: 0 });
        record::encode_table(&mut self.buffer, &self.spools);
        Ok(())
    }

    /// Writes what was added and waits until it is on disk.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        let Some(last) = self.segments.list.last_mut().filter(|_| !self.buffer.is_empty()) else {
            return Ok(());
        };
        if self.file.is_none() {
            let mut file = OpenOptions::new().write(true).open(segment_path(&self.folder, last.first))?;
            file.seek(SeekFrom::Start(last.bytes))?;
            self.file = Some(file);
        }
        let file = self.file.as_mut().expect("was opened above");
        file.write_all(&self.buffer)?;
        durable!("log.lines_kept", file.sync_data())?;
        last.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Lets go of the file and of memory when there is nothing to write for now.
    pub(crate) fn rest(&mut self) {
        self.file = None;
        self.buffer = Vec::new();
    }

    /// Removes the oldest segments: those over `bytes_max`, and those without which `lines_min` lines stay and
    /// whose last write `is_old`. The newest always stays.
    pub(crate) fn retain(
        &mut self,
        bytes_max: u64,
        lines_min: u64,
        is_old: impl Fn(std::time::SystemTime) -> bool,
    ) -> io::Result<()> {
        while self.segments.list.len() > 1 {
            let path = segment_path(&self.folder, self.segments.oldest());
            let stays = self.segments.next - self.segments.end_of(0);
            let surplus = stays >= lines_min && is_old(std::fs::metadata(&path)?.modified()?);
            if self.segments.bytes() <= bytes_max && !surplus {
                break;
            }
            durable!("log.segment_retired", std::fs::remove_file(&path))?;
            self.segments.list.remove(0);
        }
        Ok(())
    }
}

/// Brings the disk back to what `durable` says, after a write or fsync failed.
#[expect(clippy::disallowed_methods, reason = "after a failed write, in a process that lives on")]
pub(crate) fn restore(folder: &Path, durable: &Segments) -> io::Result<()> {
    for segment in list_segments(folder)? {
        let path = segment_path(folder, segment.first);
        match durable.list.iter().find(|known| known.first == segment.first) {
            None => std::fs::remove_file(path)?,
            Some(known) if known.bytes < segment.bytes => {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(known.bytes)?;
                file.sync_data()?;
            }
            Some(_) => {}
        }
    }
    if folder.exists() { sync_folder(folder) } else { Ok(()) }
}

/// Reads a log forward, holding its place between calls.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    open: Option<OpenSegment>,
}

#[derive(Debug)]
struct OpenSegment {
    first: u64,
    file: File,
    offset: u64,
}

impl Cursor {
    /// Calls `each` for the durable lines from number `from` on, until about `bytes_max` bytes were looked at;
    /// returns the number to go on from.
    pub(crate) fn read(
        &mut self,
        folder: &Path,
        segments: &Arc<Segments>,
        from: u64,
        bytes_max: u64,
        mut each: impl FnMut(&record::LineRecord<'_>),
    ) -> io::Result<u64> {
        let mut from = from.max(segments.oldest());
        let mut budget = bytes_max;
        while from < segments.next && budget > 0 {
            let index = segments.list.partition_point(|segment| segment.first <= from).saturating_sub(1);
            let Some(segment) = segments.list.get(index) else { break };
            let Some((offset, chunk)) = self.chunk(folder, *segment, budget)? else {
                from = segments.end_of(index);
                continue;
            };
            let mut used = 0;
            while let Some((record, length)) = record::parse(&chunk[used..]) {
                used += length;
                if let Record::Line(line) = record
                    && line.number >= from
                {
                    each(&line);
                    from = line.number + 1;
                }
            }
            let at_end = offset + used as u64 >= segment.bytes;
            let stuck = used == 0 && offset + chunk.len() as u64 >= segment.bytes;
            if stuck && !at_end {
                tracing::error!(path = %segment_path(folder, segment.first).display(), offset,
                    "a log segment is damaged; its rest cannot be read");
            }
            self.open.as_mut().expect("chunk opened it").offset = offset + used as u64;
            if at_end || stuck {
                from = from.max(segments.end_of(index));
            }
            budget = budget.saturating_sub(used as u64);
        }
        Ok(from)
    }

    /// The next bytes of a segment, at least one whole record where there is one; `None` when it has been removed.
    fn chunk(&mut self, folder: &Path, segment: Segment, budget: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        if self.open.as_ref().is_none_or(|open| open.first != segment.first) {
            match File::open(segment_path(folder, segment.first)) {
                Ok(file) => self.open = Some(OpenSegment { first: segment.first, file, offset: 0 }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let open = self.open.as_mut().expect("was opened above");
        let wanted =
            (segment.bytes.saturating_sub(open.offset)).min(budget + record::RECORD_BYTES_MAX as u64);
        let mut chunk = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
        open.file.seek(SeekFrom::Start(open.offset))?;
        (&open.file).take(wanted).read_to_end(&mut chunk)?;
        Ok(Some((open.offset, chunk)))
    }
}

fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.seg"))
}

pub(crate) fn list_segments(folder: &Path) -> io::Result<Vec<Segment>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse().ok());
        if let Some(first) = first {
            segments.push(Segment { first, bytes: entry.metadata()?.len() });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments)
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
