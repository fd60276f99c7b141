//! Records on disk that one process writes and another reads and acknowledges.
//!
//! A spool is a folder of segment files named by the number of their first record. The writer (a dyno's shim, the
//! router) appends; the reader (the log plane) reads on from a number and, once it holds the records durably, has
//! them acknowledged, which unlinks whole segments. Nothing is fsynced: the page cache outlives a killed process,
//! and after a power cut the processes whose output this was are gone as well.
//! Bounded: beyond its limit the oldest segment goes and its records are counted as dropped.
#![expect(
    clippy::disallowed_methods,
    reason = "spools are written by shims and routers, processes of their own; who acknowledges names that step"
)]

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use paddock_core::UnixMicros;
use rustix::fs::FlockOperation;
use uuid::Uuid;

/// Most bytes of one record.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Length and checksum before each record.
const HEAD: usize = 8;
/// Number, time, tag, flags and key before a record's bytes.
const FIXED: usize = 8 + 8 + 1 + 1 + 16;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number in this spool, from 1, without gaps but for dropped records.
    pub seq: u64,
    /// When it was made.
    pub at: UnixMicros,
    /// What the writer says it is (a stream, a kind of line).
    pub tag: u8,
    /// Further bits of the writer's.
    pub flags: u8,
    /// Whom it concerns, where one spool holds records of many (the router's: the app); nil otherwise.
    pub key: Uuid,
    /// The content.
    pub bytes: Vec<u8>,
}

/// A spool's folder, held by its writer's process. The kernel lets go of it however that ends.
#[derive(Debug)]
pub struct Held {
    _folder: File,
}

/// A spool that was found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: Uuid,
    /// Where it is.
    pub folder: PathBuf,
    /// Whether a writer holds it. Once nobody does nobody will again.
    pub is_held: bool,
}

/// Makes the folder of a new spool called `name` in `parent`, and holds it. Names ascend (UUIDs of version 7).
///
/// # Errors
/// As the file system has them; a name that was used before is taken.
pub fn hold_new(parent: &Path, name: Uuid) -> io::Result<(PathBuf, Held)> {
    std::fs::create_dir_all(parent)?;
    let folder = parent.join(name.to_string());
    // Held before it has its name: whoever finds it without a holder takes it for one that has ended.
    let nameless = parent.join(format!("{name}.new"));
    std::fs::create_dir(&nameless)?;
    let held = File::open(&nameless)?;
    rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive)?;
    std::fs::rename(&nameless, &folder)?;
    Ok((folder, Held { _folder: held }))
}

/// The named spools in `parent`, oldest first.
///
/// # Errors
/// As the file system has them.
pub fn find(parent: &Path) -> io::Result<Vec<Found>> {
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(|name| Uuid::try_parse(name).ok()) else {
            continue;
        };
        let folder = entry.path();
        let is_held = match rustix::fs::flock(File::open(&folder)?, FlockOperation::NonBlockingLockShared) {
            Ok(()) => false,
            Err(rustix::io::Errno::WOULDBLOCK) => true,
            Err(error) => return Err(error.into()),
        };
        found.push(Found { name, folder, is_held });
    }
    found.sort_unstable_by_key(|spool| spool.name);
    Ok(found)
}

/// Writes a spool. One at a time for a folder.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    limit_bytes: u64,
    /// First number and length of each segment on disk, oldest first; the last one is open.
    segments: VecDeque<(u64, u64)>,
    file: File,
    next_seq: u64,
    pending: Vec<u8>,
    dropped: u64,
}

impl Writer {
    /// Opens the spool in `folder` (made if missing) and goes on after its last whole record.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn open(folder: &Path, limit_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut segments: VecDeque<(u64, u64)> = VecDeque::new();
        for first in segment_numbers(folder)? {
            segments.push_back((first, std::fs::metadata(segment_path(folder, first))?.len()));
        }
        let mut next_seq = 1;
        if let Some((first, length)) = segments.back_mut() {
            let path = segment_path(folder, *first);
            (next_seq, *length) = whole_part(&path, *first)?;
            // A record that was cut by a kill is taken off, so that what follows it can be read.
            OpenOptions::new().write(true).open(&path)?.set_len(*length)?;
        } else {
            segments.push_back((next_seq, 0));
        }
        let first = segments.back().map_or(next_seq, |(first, _)| *first);
        let file = open_for_append(folder, first)?;
        Ok(Self {
            folder: folder.to_owned(),
            limit_bytes,
            segments,
            file,
            next_seq,
            pending: Vec::new(),
            dropped: 0,
        })
    }

    /// The number the next record will get.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Adds a record; it can be read after [`Self::flush`]. Bytes beyond [`RECORD_BYTES_MAX`] are cut off.
    pub fn append(&mut self, at: UnixMicros, tag: u8, flags: u8, key: Uuid, bytes: &[u8]) -> u64 {
        let bytes = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
        let seq = self.next_seq;
        self.next_seq += 1;
        let mut payload = Vec::with_capacity(FIXED + bytes.len());
        payload.extend_from_slice(&seq.to_le_bytes());
        payload.extend_from_slice(&at.0.to_le_bytes());
        payload.extend_from_slice(&[tag, flags]);
        payload.extend_from_slice(key.as_bytes());
        payload.extend_from_slice(bytes);
        self.pending.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.pending.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        self.pending.extend_from_slice(&payload);
        seq
    }

    /// Writes what was added; drops the oldest segments while the spool is over its limit.
    ///
    /// # Errors
    /// When the disk refuses: the records are counted as dropped and the writer goes on.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let (first, length) = self.segments.back().copied().unwrap_or((self.next_seq, 0));
        if let Err(error) = self.file.write_all(&pending) {
            // Take half a record off again; if even that fails the reader stops at its checksum.
            let _ = self.file.set_len(length);
            let last_written = whole_part(&segment_path(&self.folder, first), first)?.0;
            self.dropped += self.next_seq.saturating_sub(last_written);
            return self.rotate().and(Err(error));
        }
        let length = length + pending.len() as u64;
        if let Some(last) = self.segments.back_mut() {
            last.1 = length;
        }
        if length >= self.limit_bytes / 16 {
            self.rotate()?;
        }
        while self.segments.len() > 1 && self.bytes() > self.limit_bytes {
            self.drop_oldest()?;
        }
        Ok(())
    }

    /// Forgets records up to and including `seq`, whole segments at a time.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn ack(&mut self, seq: u64) -> io::Result<()> {
        while let (Some((first, _)), Some((next, _))) = (self.segments.front(), self.segments.get(1)) {
            if next - 1 > seq {
                break;
            }
            remove_segment(&self.folder, *first)?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// How many records were dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|(_, length)| length).sum()
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        let Some((first, _)) = self.segments.pop_front() else { return Ok(()) };
        let next = self.segments.front().map_or(self.next_seq, |(next, _)| *next);
        self.dropped += next - first;
        remove_segment(&self.folder, first)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = open_for_append(&self.folder, self.next_seq)?;
        self.segments.push_back((self.next_seq, 0));
        Ok(())
    }
}

/// Reads a spool that another process writes.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    next_seq: u64,
    open: Option<(u64, File)>,
    /// When a segment had last come or gone before the folder was listed.
    listed: Option<SystemTime>,
}

impl Reader {
    /// Reads on after record `after`; 0 for everything that is there. The folder need not exist yet.
    #[must_use]
    pub fn new(folder: &Path, after: u64) -> Self {
        Self { folder: folder.to_owned(), next_seq: after + 1, open: None, listed: None }
    }

    /// Whether there may be something that was not read, for who looks often: two questions to the file system, which wait for
    /// no disk. A segment that came in the very moment of a look is missed: read to the end now and then as well.
    #[must_use]
    pub fn may_have_more(&self) -> bool {
        let is_longer = |file: &File| match (file.metadata(), rustix::fs::tell(file)) {
            (Ok(metadata), Ok(position)) => metadata.len() > position,
            _ => true,
        };
        self.open.as_ref().is_some_and(|(_, file)| is_longer(file)) || changed_at(&self.folder) != self.listed
    }

    fn list(&mut self) -> io::Result<Vec<u64>> {
        self.listed = changed_at(&self.folder);
        segment_numbers(&self.folder)
    }

    /// The next records, about `bytes_max` at most; empty when there are none yet.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn next_batch(&mut self, bytes_max: usize) -> io::Result<Vec<Record>> {
        loop {
            if self.open.is_none() && !self.open_segment()? {
                return Ok(Vec::new());
            }
            let Some((first, file)) = self.open.as_mut() else { return Ok(Vec::new()) };
            let records = read_records(file, bytes_max)?;
            let wanted: Vec<_> =
                records.iter().filter(|record| record.seq >= self.next_seq).cloned().collect();
            if let Some(last) = wanted.last() {
                self.next_seq = last.seq + 1;
                return Ok(wanted);
            }
            let first = *first;
            if records.is_empty() && !self.leave_segment(first)? {
                return Ok(Vec::new());
            }
        }
    }

    /// Opens the segment that holds the next number, or the first one after it.
    fn open_segment(&mut self) -> io::Result<bool> {
        let numbers = self.list()?;
        let holding = numbers.iter().rev().find(|first| **first <= self.next_seq);
        let Some(first) = holding.or(numbers.first()).copied() else { return Ok(false) };
        match File::open(segment_path(&self.folder, first)) {
            Ok(file) => self.open = Some((first, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// At the end of a segment: goes on to the one after it, if there is one.
    fn leave_segment(&mut self, first: u64) -> io::Result<bool> {
        let Some(next) = self.list()?.into_iter().find(|number| *number > first) else {
            return Ok(false);
        };
        // The writer may have written between our read and its rotation: look once more before leaving.
        if let Some((_, file)) = self.open.as_mut() {
            let position = file.stream_position()?;
            if !read_records(file, 1)?.is_empty() {
                file.seek(SeekFrom::Start(position))?;
                return Ok(true);
            }
        }
        self.next_seq = self.next_seq.max(next);
        self.open = None;
        Ok(true)
    }
}

/// Reads whole records from the file's position and leaves it after the last one.
fn read_records(file: &mut File, bytes_max: usize) -> io::Result<Vec<Record>> {
    let start = file.stream_position()?;
    let mut buffer = Vec::new();
    file.take((bytes_max + HEAD + FIXED + RECORD_BYTES_MAX) as u64).read_to_end(&mut buffer)?;
    let mut records = Vec::new();
    let mut used = 0;
    while let Some((record, length)) = parse(&buffer[used..]) {
        records.push(record);
        used += length;
        if used >= bytes_max {
            break;
        }
    }
    file.seek(SeekFrom::Start(start + used as u64))?;
    Ok(records)
}

/// The record at the start of `buffer` and its length on disk; `None` when it is not whole (yet).
fn parse(buffer: &[u8]) -> Option<(Record, usize)> {
    let length = u32::from_le_bytes(*buffer.first_chunk()?) as usize;
    let checksum = u32::from_le_bytes(*buffer.get(4..)?.first_chunk()?);
    if !(FIXED..=FIXED + RECORD_BYTES_MAX).contains(&length) {
        return None;
    }
    let payload = buffer.get(HEAD..HEAD + length)?;
    if crc32fast::hash(payload) != checksum {
        return None;
    }
    let seq = u64::from_le_bytes(*payload.first_chunk()?);
    // No writer of ours comes so far, and there must be a number after it.
    i64::try_from(seq).ok()?;
    let record = Record {
        seq,
        at: UnixMicros(i64::from_le_bytes(*payload[8..].first_chunk()?)),
        tag: payload[16],
        flags: payload[17],
        key: Uuid::from_bytes(*payload[18..].first_chunk()?),
        bytes: payload[FIXED..].to_vec(),
    };
    Some((record, HEAD + length))
}

/// The number after the last whole record of a segment, and the length up to its end.
fn whole_part(path: &Path, first: u64) -> io::Result<(u64, u64)> {
    let mut buffer = Vec::new();
    File::open(path)?.read_to_end(&mut buffer)?;
    let (mut next, mut used) = (first, 0);
    while let Some((record, length)) = parse(&buffer[used..]) {
        next = record.seq + 1;
        used += length;
    }
    Ok((next, used as u64))
}

fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.spool"))
}

/// When something last came into a folder or went out of it; `None` while there is no such folder.
pub fn changed_at(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(folder).and_then(|metadata| metadata.modified()).ok()
}

fn segment_numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".spool")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn open_for_append(folder: &Path, first: u64) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(segment_path(folder, first))
}

fn remove_segment(folder: &Path, first: u64) -> io::Result<()> {
    match std::fs::remove_file(segment_path(folder, first)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
