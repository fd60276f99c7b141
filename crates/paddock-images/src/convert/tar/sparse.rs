//! Files with holes, in the four ways that GNU tar has written them.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::header::{Header, RECORD, count, decimal};
use super::{Problem, TarReader};
use crate::convert::Refused;

/// Fragments of one file.
const FRAGMENTS_MAX: usize = 1 << 18;

/// A part of a file that the archive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    at: u64,
    bytes: u64,
}

/// What records say of holes.
#[derive(Debug, Default)]
pub(super) struct Records {
    version: (Option<u64>, Option<u64>),
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    /// Offsets and lengths in turn.
    numbers: Vec<u64>,
    has_any: bool,
}

impl Records {
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        self.has_any = true;
        match key {
            b"major" => self.version.0 = Some(decimal(value)?),
            b"minor" => self.version.1 = Some(decimal(value)?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            // Each way has its own check of how many there are.
            b"numblocks" => {}
            b"offset" | b"numbytes" => {
                let is_offset = self.numbers.len().is_multiple_of(2);
                if is_offset != (key == b"offset") {
                    return Err(Refused::BadSparse.into());
                }
                self.push(decimal(value)?)?;
            }
            b"map" => {
                for number in value.split(|byte| *byte == b',') {
                    self.push(decimal(number)?)?;
                }
            }
            _ => return Err(Refused::BadSparse.into()),
        }
        Ok(())
    }

    fn push(&mut self, number: u64) -> Result<(), Problem> {
        if self.numbers.len() == 2 * FRAGMENTS_MAX {
            return Err(Refused::BadSparse.into());
        }
        self.numbers.push(number);
        Ok(())
    }
}

/// What a member has of its file: its size with holes, and the fragments, if it has holes.
pub(super) fn fragments<R: Read>(
    tar: &mut TarReader<R>,
    header: &Header,
    records: &Records,
) -> Result<Option<(u64, VecDeque<Fragment>)>, Problem> {
    let (size, numbers) = if header.kind() == b'S' {
        (header.sparse_size()?, numbers_of_gnu(tar, header)?)
    } else if !records.has_any {
        return Ok(None);
    } else {
        let size = records.size.ok_or(Refused::BadSparse)?;
        match records.version {
            (Some(1), Some(0)) => (size, numbers_in_content(tar)?),
            (None, None) | (Some(0), Some(0 | 1)) => (size, records.numbers.clone()),
            _ => return Err(Refused::BadSparse.into()),
        }
    };
    let fragments = checked(&numbers, size, tar.left()).ok_or(Refused::BadSparse)?;
    Ok(Some((size, fragments)))
}

/// Fragments lie one after the other within the file, and are all that the archive has of it.
fn checked(numbers: &[u64], size: u64, stored: u64) -> Option<VecDeque<Fragment>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    let (mut end, mut sum) = (0_u64, 0_u64);
    for [at, bytes] in pairs {
        if *at < end {
            return None;
        }
        end = at.checked_add(*bytes)?;
        sum += bytes;
    }
    let fits = rest.is_empty() && end <= size && sum == stored;
    fits.then(|| pairs.iter().map(|[at, bytes]| Fragment { at: *at, bytes: *bytes }).collect())
}

/// In the header, and in records between it and the content.
fn numbers_of_gnu<R: Read>(tar: &mut TarReader<R>, header: &Header) -> Result<Vec<u64>, Problem> {
    let mut numbers = Vec::new();
    let (first, mut goes_on) = header.sparse();
    push_fields(&mut numbers, first)?;
    while goes_on {
        let record = tar.record_before_content()?;
        push_fields(&mut numbers, &record[..504])?;
        goes_on = record[504] != 0;
        if numbers.len() > 2 * FRAGMENTS_MAX {
            return Err(Refused::BadSparse.into());
        }
    }
    Ok(numbers)
}

fn push_fields(numbers: &mut Vec<u64>, fields: &[u8]) -> Result<(), Problem> {
    let (fields, _) = fields.as_chunks::<12>();
    // Those that are not used are empty.
    for pair in fields.chunks(2).take_while(|pair| pair[0][0] != 0) {
        for field in pair {
            numbers.push(count(field)?);
        }
    }
    Ok(())
}

/// At the beginning of the content: how many fragments there are and then their numbers, a line each, to the end of a record.
fn numbers_in_content<R: Read>(tar: &mut TarReader<R>) -> Result<Vec<u64>, Problem> {
    let (mut numbers, mut line, mut wanted) = (Vec::new(), Vec::new(), None);
    loop {
        let mut record = [0; RECORD];
        tar.read_exact(&mut record).map_err(Problem::Unreadable)?;
        for byte in record {
            if byte != b'\n' {
                line.push(byte);
                if line.len() > 20 {
                    return Err(Refused::BadSparse.into());
                }
                continue;
            }
            let number = decimal(&line)?;
            line.clear();
            match wanted {
                None if number <= FRAGMENTS_MAX as u64 => wanted = Some(2 * number as usize),
                None => return Err(Refused::BadSparse.into()),
                Some(_) => numbers.push(number),
            }
            if wanted == Some(numbers.len()) {
                return Ok(numbers);
            }
        }
    }
}

/// A file with its holes.
pub(in crate::convert) struct Filled<'a, R> {
    tar: &'a mut TarReader<R>,
    fragments: VecDeque<Fragment>,
    at: u64,
}

impl<'a, R> Filled<'a, R> {
    pub(super) fn new(tar: &'a mut TarReader<R>, fragments: VecDeque<Fragment>) -> Self {
        Self { tar, fragments, at: 0 }
    }
}

impl<R: Read> Read for Filled<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.fragments.front().is_some_and(|next| next.bytes == 0) {
            self.fragments.pop_front();
        }
        let to_next = self.fragments.front().map_or(u64::MAX, |next| next.at - self.at);
        let some = usize::try_from(to_next).unwrap_or(usize::MAX).min(buffer.len());
        let read = match self.fragments.front_mut() {
            Some(next) if some == 0 => {
                let some = usize::try_from(next.bytes).unwrap_or(usize::MAX).min(buffer.len());
                let read = self.tar.read(&mut buffer[..some])?;
                next.at += read as u64;
                next.bytes -= read as u64;
                read
            }
            _ => {
                buffer[..some].fill(0);
                some
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}
