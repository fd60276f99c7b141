//! What lies between a blob and its tar: decompressing it, and the digests of both. A thread of its own decompresses, which takes as long
//! as all the rest.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use paddock_core::BlobDigest;
use sha2::{Digest, Sha256};

use super::error::told;
use super::tar::damaged;
use super::zstd::ZstdReader;
use super::{Compression, ConvertError};

const BLOCK: usize = 256 * 1024;
/// Blocks that are decompressed ahead of what is written.
const AHEAD: usize = 4;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Digest and length of what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) digest: BlobDigest,
    pub(super) bytes: u64,
}

/// What one thread hands the other.
struct Block {
    bytes: Vec<u8>,
    /// It is hashed already, since it was not compressed.
    is_hashed: bool,
}

/// Has `read` read the tar within `input`, and answers with the digest of the input besides.
pub(super) fn decoded<T>(
    input: impl Read + Send,
    compression: Compression,
    read: impl FnOnce(Blocks) -> Result<T, ConvertError>,
) -> Result<(T, Hashed), ConvertError> {
    thread::scope(|scope| {
        let (blocks, receiver) = sync_channel(AHEAD);
        let (used, free) = channel();
        let decode = move || decode(input, compression, &Pipe { blocks, free });
        let decoding = thread::Builder::new().spawn_scoped(scope, decode).map_err(ConvertError::Output)?;
        let converted = read(Blocks::new(receiver, used));
        // The reader is gone, so that this ends.
        let decoded = decoding.join().unwrap_or_else(|_| Err(damaged("it is damaged").into()));
        match (converted, decoded) {
            // What cannot be decompressed looks cut off to who reads it.
            (Err(ConvertError::Unreadable { .. }) | Ok(_), Err(DecodeError::Decode(error))) => {
                Err(ConvertError::Compression(told(error).to_string()))
            }
            (Err(error), _) => Err(error),
            (Ok(converted), Ok(hashed)) => Ok((converted, hashed)),
            (Ok(_), Err(DecodeError::Stopped)) => {
                Err(ConvertError::Compression("it was not read to its end".to_owned()))
            }
        }
    })
}

enum DecodeError {
    Decode(io::Error),
    /// Nobody wants the rest.
    Stopped,
}

impl From<io::Error> for DecodeError {
    fn from(error: io::Error) -> Self {
        Self::Decode(error)
    }
}

/// Blocks on their way to who reads the tar, and back.
struct Pipe {
    blocks: SyncSender<Block>,
    free: Receiver<Vec<u8>>,
}

fn decode(input: impl Read, compression: Compression, pipe: &Pipe) -> Result<Hashed, DecodeError> {
    let mut input = BufReader::with_capacity(BLOCK, Hashing::new(input));
    let begin = input.fill_buf()?;
    let (is_gzip, is_zstd) = (begin.starts_with(&GZIP), begin.starts_with(&ZSTD));
    match compression {
        Compression::Gzip if !is_gzip => {
            return Err(damaged("it is not compressed by gzip, as its media type says").into());
        }
        Compression::Gzip => pump(MultiGzDecoder::new(&mut input), false, pipe)?,
        // A frame that is passed over may be the first.
        Compression::Zstd => pump(ZstdReader::new(&mut input), false, pipe)?,
        Compression::None if is_gzip => pump(MultiGzDecoder::new(&mut input), false, pipe)?,
        Compression::None if is_zstd => pump(ZstdReader::new(&mut input), false, pipe)?,
        Compression::None => pump(&mut input, true, pipe)?,
    }
    Ok(input.into_inner().finish())
}

fn pump(mut tar: impl Read, is_hashed: bool, pipe: &Pipe) -> Result<(), DecodeError> {
    loop {
        let mut bytes = pipe.free.try_recv().unwrap_or_default();
        bytes.resize(BLOCK, 0);
        let mut filled = 0;
        while filled < BLOCK {
            match tar.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(filled);
        if filled == 0 {
            return Ok(());
        }
        pipe.blocks.send(Block { bytes, is_hashed }).map_err(|_| DecodeError::Stopped)?;
    }
}

/// Hashes what is read.
struct Hashing<R> {
    input: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn new(input: R) -> Self {
        Self { input, hash: Sha256::new(), bytes: 0 }
    }

    fn finish(self) -> Hashed {
        Hashed { digest: BlobDigest::of_sha256(self.hash.finalize().into()), bytes: self.bytes }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// The tar, up to a limit.
pub(super) struct Blocks {
    receiver: Receiver<Block>,
    used: Sender<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
    hash: Option<Sha256>,
    bytes: u64,
    limit: u64,
}

impl Blocks {
    fn new(receiver: Receiver<Block>, used: Sender<Vec<u8>>) -> Self {
        Self { receiver, used, block: Vec::new(), at: 0, hash: None, bytes: 0, limit: u64::MAX }
    }

    /// The same, ending when more than `limit` bytes have come.
    pub(super) fn limited(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Whether it ended by its limit.
    pub(super) fn is_over_limit(&self) -> bool {
        self.bytes > self.limit
    }

    /// Digest and length of all that came; none where the tar is what was read.
    pub(super) fn digest(self) -> Option<Hashed> {
        let hash = self.hash?;
        Some(Hashed { digest: BlobDigest::of_sha256(hash.finalize().into()), bytes: self.bytes })
    }

    /// Waits for more; there is none at the end.
    fn next(&mut self) {
        let used = std::mem::take(&mut self.block);
        if !used.is_empty() {
            // Whoever decompressed may have ended.
            let _ = self.used.send(used);
        }
        self.at = 0;
        if self.is_over_limit() {
            return;
        }
        let Ok(Block { bytes, is_hashed }) = self.receiver.recv() else { return };
        if !is_hashed {
            self.hash.get_or_insert_default().update(&bytes);
        }
        self.bytes += bytes.len() as u64;
        if !self.is_over_limit() {
            self.block = bytes;
        }
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            self.next();
        }
        let some = buffer.len().min(self.block.len() - self.at);
        buffer[..some].copy_from_slice(&self.block[self.at..self.at + some]);
        self.at += some;
        Ok(some)
    }
}
