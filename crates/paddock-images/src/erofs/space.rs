//! The output file: blocks of content one after the other, and between them blocks that inodes share.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::WriteError;
use super::format::{BLOCK, FIRST_FREE, SLOT};

/// Bytes that are written at once.
const BUFFER: usize = 256 * BLOCK;
/// Blocks with room that are kept for further inodes. More fill better, and have what lies together in the tree lie
/// further apart.
const OPEN_BLOCKS: usize = 16;

/// The file and what is not yet in it.
#[derive(Debug)]
pub(super) struct Space {
    output: File,
    /// Where the buffer's first byte belongs.
    flushed: u64,
    /// Whole blocks.
    buffer: Vec<u8>,
    open: Vec<SharedBlock>,
}

/// A block of inodes.
#[derive(Debug)]
struct SharedBlock {
    at: u64,
    used: usize,
    bytes: Box<[u8; BLOCK]>,
}

impl Space {
    pub(super) fn new(output: File) -> Result<Self, WriteError> {
        let mut space = Self { output, flushed: 0, buffer: Vec::with_capacity(BUFFER), open: Vec::new() };
        space.open_block(FIRST_FREE)?;
        Ok(space)
    }

    /// Where the file ends.
    pub(super) fn end(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Appends `length` bytes of `content`, whole blocks.
    pub(super) fn append(&mut self, content: &mut impl Read, length: u64) -> Result<(), WriteError> {
        let mut left = length;
        while left > 0 {
            let room = self.room()?;
            let begin = self.buffer.len();
            let some = usize::try_from(left).unwrap_or(usize::MAX).min(room);
            self.buffer.resize(begin + some, 0);
            content.read_exact(&mut self.buffer[begin..]).map_err(WriteError::Content)?;
            left -= some as u64;
        }
        Ok(())
    }

    /// Appends blocks that are put later.
    pub(super) fn append_empty(&mut self, blocks: u64) -> Result<u64, WriteError> {
        let at = self.end();
        self.append(&mut io::repeat(0), blocks * BLOCK as u64)?;
        Ok(at)
    }

    /// A place for an inode and what follows it, at most a block, within one block: the fullest that has room.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<u64, WriteError> {
        let fits = |block: &&mut SharedBlock| block.used + bytes <= BLOCK;
        let block = match self.open.iter_mut().filter(fits).max_by_key(|block| block.used) {
            Some(block) => block,
            None => self.open_block(0)?,
        };
        let at = block.at + block.used as u64;
        block.used = (block.used + bytes).next_multiple_of(SLOT);
        Ok(at)
    }

    fn open_block(&mut self, used: usize) -> Result<&mut SharedBlock, WriteError> {
        if self.open.len() == OPEN_BLOCKS {
            let fullest = self.open.iter().enumerate().max_by_key(|(_, block)| block.used);
            let fullest = self.open.swap_remove(fullest.map_or(0, |(index, _)| index));
            self.put(fullest.at, &fullest.bytes[..])?;
        }
        let at = self.append_empty(1)?;
        self.open.push(SharedBlock { at, used, bytes: Box::new([0; BLOCK]) });
        Ok(self.open.last_mut().expect("it was pushed just now"))
    }

    /// Writes what belongs at a place that was appended or reserved; within one block if that is shared.
    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let block = at - at % BLOCK as u64;
        if let Some(open) = self.open.iter_mut().find(|open| open.at == block) {
            let begin = (at - block) as usize;
            open.bytes[begin..begin + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        if at < self.flushed {
            // A part of what is put may still be in the buffer.
            self.flush()?;
            return self.output.write_all_at(bytes, at).map_err(WriteError::Output);
        }
        let begin = (at - self.flushed) as usize;
        self.buffer[begin..begin + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Brings everything into the file.
    pub(super) fn finish(mut self) -> Result<File, WriteError> {
        for block in std::mem::take(&mut self.open) {
            self.put(block.at, &block.bytes[..])?;
        }
        self.flush()?;
        Ok(self.output)
    }

    fn room(&mut self) -> Result<usize, WriteError> {
        if self.buffer.len() == BUFFER {
            self.flush()?;
        }
        Ok(BUFFER - self.buffer.len())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.output.write_all_at(&self.buffer, self.flushed).map_err(WriteError::Output)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
