//! Digests of files that are copied: the same files give the same layer, so a step that copies them need not be done again.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use paddock_core::hex;
use sha2::{Digest, Sha256};

use super::sources::{Entry, Result};

/// The digest of these, in their order: the name of what each is of, the thing itself, and where it is read.
pub(super) fn digest_of(entries: &[(String, Entry, PathBuf)]) -> Result<String> {
    let mut digest = Sha256::new();
    for (name, entry, place) in entries {
        let unreadable = |error: io::Error| format!("{} cannot be read: {error}", entry.path.display());
        field(&mut digest, name.as_bytes());
        field(&mut digest, entry.path.as_os_str().as_bytes());
        let kind = entry.metadata.file_type();
        if kind.is_dir() {
            field(&mut digest, b"folder");
        } else if kind.is_symlink() {
            field(&mut digest, b"link");
            field(&mut digest, fs::read_link(place).map_err(unreadable)?.as_os_str().as_bytes());
        } else {
            field(&mut digest, b"file");
            let mut content = Sha256::new();
            io::copy(&mut File::open(place).map_err(unreadable)?, &mut content).map_err(unreadable)?;
            digest.update(content.finalize());
        }
        digest.update((entry.metadata.mode() & 0o777).to_le_bytes());
    }
    Ok(hex(&digest.finalize()))
}

/// With its length before it, so that no two lists of fields are the same bytes.
fn field(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}
