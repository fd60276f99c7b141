//! How large a layer is when it is compressed, which is what Heroku counts of a slug.
//!
//! Layers lie uncompressed on the disk, so this costs time that nothing else needs: an eighth of a file, evenly spread,
//! says it to a few percent, and only where that leaves open whether a limit is kept the whole file is looked at.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Bytes that are looked at together.
const BLOCK_BYTES: u64 = 1 << 20;
/// One block of so many is looked at.
const STEP: u64 = 8;
/// A part of the limit by which an estimate may be wrong.
const MARGIN: u64 = 5;

/// About how many bytes gzip makes of a file. Near `limit` it is exact.
///
/// # Errors
/// When the file cannot be read.
pub fn compressed_size(file: &Path, limit: u64) -> io::Result<u64> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    let (read, packed) = deflate(&mut file, length, STEP)?;
    let estimate = u64::try_from(u128::from(packed) * u128::from(length) / u128::from(read.max(1)));
    let estimate = estimate.unwrap_or(u64::MAX);
    if estimate.abs_diff(limit) > limit / MARGIN {
        return Ok(estimate);
    }
    Ok(deflate(&mut file, length, 1)?.1)
}

/// Compresses the first of every `step` blocks: how many bytes those are, and how many are left of them.
fn deflate(file: &mut File, length: u64, step: u64) -> io::Result<(u64, u64)> {
    let mut encoder = DeflateEncoder::new(Count(0), Compression::default());
    let mut read = 0;
    let mut at = 0;
    while at < length {
        file.seek(SeekFrom::Start(at))?;
        read += io::copy(&mut file.take(BLOCK_BYTES), &mut encoder)?;
        at += step * BLOCK_BYTES;
    }
    Ok((read, encoder.finish()?.0))
}

/// Counts what is written.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABYTE: u64 = 1 << 20;

    /// Bytes that nothing makes smaller, and after them zeros.
    fn file(random: u64, zeros: u64) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut state = 1_u64;
        let mut bytes = Vec::new();
        for _ in 0..random * MEGABYTE / 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&bytes).unwrap();
        file.as_file().set_len((random + zeros) * MEGABYTE).unwrap();
        file
    }

    fn megabytes(random: u64, zeros: u64, limit: u64) -> u64 {
        compressed_size(file(random, zeros).path(), limit * MEGABYTE).unwrap() / MEGABYTE
    }

    #[test]
    fn far_from_the_limit_an_eighth_says_it() {
        assert_eq!(megabytes(16, 0, 4), 16);
        assert_eq!(megabytes(8, 8, 4), 8);
        assert_eq!(megabytes(0, 64, 4), 0);
        assert_eq!(megabytes(1, 15, 1), 8, "the first megabyte speaks for eight");
        assert_eq!(megabytes(0, 0, 4), 0);
    }

    #[test]
    fn near_the_limit_it_is_exact() {
        assert_eq!(megabytes(1, 15, 8), 1);
        assert_eq!(megabytes(1, 15, 7), 1);
        assert_eq!(megabytes(9, 7, 15), 9);
    }
}
