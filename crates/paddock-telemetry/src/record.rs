//! Records of a segment file: length, checksum, payload.
//!
//! A segment starts with a table of the spools known so far, so that the last number taken from each is known from
//! the newest segment alone, whatever retention removed. After it come lines.

use std::collections::HashMap;

use paddock_core::UnixMicros;
use paddock_core::log::{LogFilter, LogLine, Source};
use uuid::Uuid;

/// Number of a line within its app's log: from 1, without gaps. The `id` of server-sent events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LineNumber(pub u64);

/// Most bytes of one line's text; what is longer is cut. Dynos' lines come in pieces of 10,000 bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of a process's name.
const PROCESS_BYTES_MAX: usize = 255;
/// Length and checksum.
const HEAD: usize = 8;
/// Kind, source, number, time, spool, sequence number, length of the process's name.
const LINE_FIXED: usize = 1 + 1 + 8 + 8 + 16 + 8 + 1;
/// Most spools that a table remembers; beyond it the longest silent ones are forgotten.
pub(crate) const SPOOLS_MAX: usize = 4096;
const TABLE_ENTRY: usize = 16 + 8 + 8;
const PAYLOAD_BYTES_MAX: usize = 2 + SPOOLS_MAX * TABLE_ENTRY;
/// Most bytes of a record in a file.
pub(crate) const RECORD_BYTES_MAX: usize = HEAD + PAYLOAD_BYTES_MAX;
const LINE: u8 = 1;
const TABLE: u8 = 2;
/// Version of the format, in each table and so at the start of each segment.
const FORMAT: u8 = 1;

/// What is remembered of a spool: where lines come from that may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpoolPosition {
    /// The last sequence number taken.
    pub(crate) seq: u64,
    /// The number of the line that it became.
    pub(crate) number: u64,
}

/// A record, borrowed from a segment's bytes.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    Line(LineRecord<'a>),
    Table(Vec<(Uuid, SpoolPosition)>),
}

/// A line as it stands in a segment.
#[derive(Debug)]
pub(crate) struct LineRecord<'a> {
    pub(crate) number: u64,
    /// Nil for lines that came without a spool.
    pub(crate) spool: Uuid,
    pub(crate) seq: u64,
    at: UnixMicros,
    source: Source,
    process: &'a str,
    text: &'a str,
}

impl LineRecord<'_> {
    pub(crate) fn matches(&self, filter: &LogFilter) -> bool {
        filter.matches(self.source, self.process)
    }

    pub(crate) fn to_line(&self) -> LogLine {
        LogLine {
            at: self.at,
            source: self.source,
            process: self.process.to_owned(),
            text: self.text.to_owned(),
        }
    }
}

/// Adds a line to `buffer`.
pub(crate) fn encode_line(buffer: &mut Vec<u8>, number: u64, spool: Uuid, seq: u64, line: &LogLine) {
    encode(buffer, |buffer| {
        let source = match line.source {
            Source::App => 0,
            Source::Heroku => 1,
        };
        let process = cut(&line.process, PROCESS_BYTES_MAX);
        buffer.extend_from_slice(&[LINE, source]);
        buffer.extend_from_slice(&number.to_le_bytes());
        buffer.extend_from_slice(&line.at.0.to_le_bytes());
        buffer.extend_from_slice(spool.as_bytes());
        buffer.extend_from_slice(&seq.to_le_bytes());
        buffer.push(u8::try_from(process.len()).unwrap_or(u8::MAX));
        buffer.extend_from_slice(process.as_bytes());
        buffer.extend_from_slice(cut(&line.text, TEXT_BYTES_MAX).as_bytes());
    });
}

/// Adds the table of spools to `buffer`.
pub(crate) fn encode_table(buffer: &mut Vec<u8>, spools: &HashMap<Uuid, SpoolPosition>) {
    let mut entries: Vec<_> = spools.iter().collect();
    entries.sort_unstable_by_key(|(_, position)| std::cmp::Reverse(position.number));
    entries.truncate(SPOOLS_MAX);
    encode(buffer, |buffer| {
        buffer.extend_from_slice(&[TABLE, FORMAT]);
        for (spool, position) in entries {
            buffer.extend_from_slice(spool.as_bytes());
            buffer.extend_from_slice(&position.seq.to_le_bytes());
            buffer.extend_from_slice(&position.number.to_le_bytes());
        }
    });
}

fn encode(buffer: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEAD]);
    payload(buffer);
    let length = u32::try_from(buffer.len() - start - HEAD).expect("payloads are bounded far below 4 GiB");
    let checksum = crc32fast::hash(&buffer[start + HEAD..]);
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..start + HEAD].copy_from_slice(&checksum.to_le_bytes());
}

/// The record at the start of `bytes` and its length; `None` when there is no whole, sound one.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let checksum = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    if length > PAYLOAD_BYTES_MAX {
        return None;
    }
    let payload = bytes.get(HEAD..HEAD + length)?;
    if crc32fast::hash(payload) != checksum {
        return None;
    }
    let record = match *payload.first()? {
        LINE => Record::Line(parse_line(payload)?),
        TABLE if payload.get(1) == Some(&FORMAT) => Record::Table(parse_table(&payload[2..])?),
        _ => return None,
    };
    Some((record, HEAD + length))
}

fn parse_line(payload: &[u8]) -> Option<LineRecord<'_>> {
    let fixed: &[u8; LINE_FIXED] = payload.first_chunk()?;
    let process_end = LINE_FIXED + usize::from(fixed[LINE_FIXED - 1]);
    Some(LineRecord {
        source: match fixed[1] {
            0 => Source::App,
            1 => Source::Heroku,
            _ => return None,
        },
        number: u64::from_le_bytes(*fixed[2..].first_chunk()?),
        at: UnixMicros(i64::from_le_bytes(*fixed[10..].first_chunk()?)),
        spool: Uuid::from_bytes(*fixed[18..].first_chunk()?),
        seq: u64::from_le_bytes(*fixed[34..].first_chunk()?),
        process: std::str::from_utf8(payload.get(LINE_FIXED..process_end)?).ok()?,
        text: std::str::from_utf8(&payload[process_end..]).ok()?,
    })
}

fn parse_table(mut entries: &[u8]) -> Option<Vec<(Uuid, SpoolPosition)>> {
    let mut table = Vec::with_capacity(entries.len() / TABLE_ENTRY);
    while !entries.is_empty() {
        let (entry, rest) = entries.split_first_chunk::<TABLE_ENTRY>()?;
        let seq = u64::from_le_bytes(*entry[16..].first_chunk()?);
        let number = u64::from_le_bytes(*entry[24..].first_chunk()?);
        table.push((Uuid::from_bytes(*entry.first_chunk()?), SpoolPosition { seq, number }));
        entries = rest;
    }
    Some(table)
}

/// The longest start of `text` that fits, in whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// How many bytes a line takes in a segment, about.
pub(crate) fn line_bytes(line: &LogLine) -> usize {
    HEAD + LINE_FIXED + line.process.len().min(PROCESS_BYTES_MAX) + line.text.len().min(TEXT_BYTES_MAX)
}
