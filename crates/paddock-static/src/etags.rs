//! Tags of files by their content: files of two releases may have the same date and length.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;

use sha2::{Digest, Sha256};

/// Files above this are known by date and length: reading them for a tag would cost more than sending them.
const HASHED_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How many are remembered.
const KNOWN_MAX: usize = 4096;
/// How many bytes of a hash are a tag.
const TAG_BYTES: usize = 12;

/// Where a file is and when it was changed: it is not read again while that is the same.
type Key = (u64, u64, i64, i64, u64);

#[derive(Debug, Default)]
pub(crate) struct Etags(Mutex<HashMap<Key, [u8; TAG_BYTES]>>);

impl Etags {
    /// The tag, with quotes. The file is left at its beginning.
    pub(crate) fn of(&self, file: &mut File, metadata: &Metadata) -> io::Result<String> {
        if metadata.len() > HASHED_BYTES_MAX {
            return Ok(format!("\"{:x}-{:x}-{:x}\"", metadata.ino(), metadata.mtime(), metadata.len()));
        }
        let key = (metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
        let known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&key).copied();
        let tag = match known {
            Some(tag) => tag,
            None => self.learn(key, hash(file)?),
        };
        Ok(tag.iter().fold("\"".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }) + "\"")
    }

    fn learn(&self, key: Key, tag: [u8; TAG_BYTES]) -> [u8; TAG_BYTES] {
        let mut known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key, tag);
        tag
    }
}

fn hash(file: &mut File) -> io::Result<[u8; TAG_BYTES]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    file.rewind()?;
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&hash.finalize()[..TAG_BYTES]);
    Ok(tag)
}
