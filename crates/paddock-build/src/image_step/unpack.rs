//! ADD of an archive of the context: it is unpacked.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::lchown;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use paddock_images::convert::ID_MAX;
use tar::{Archive, Entry};

use super::sources::Result;

/// How archives begin that are known and not unpacked.
const OTHERS: [(&[u8], &str); 3] = [(b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")];
const GZIP: &[u8] = b"\x1f\x8b";
/// Where a tar says that it is one, and how long the head is that says so.
const MAGIC_AT: usize = 257;
const HEAD_BYTES: usize = 512;

/// Whether a file is a tar, compressed or not.
pub(super) fn is_archive(path: &Path) -> Result<bool> {
    let unreadable = |error: io::Error| format!("{} cannot be read: {error}", path.display());
    let mut head = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        let name_of_file = path.file_name().unwrap_or_default().to_string_lossy();
        let is_named = ["tar", "tbz", "txz", "tzst"].into_iter().any(|part| name_of_file.contains(part));
        if is_named {
            return Err(format!(
                "ADD does not unpack {name}, which {name_of_file} is: COPY it and unpack it with RUN tar"
            ));
        }
        return Ok(false);
    }
    if head.starts_with(GZIP) {
        let mut inner = Vec::new();
        let decoder = MultiGzDecoder::new(File::open(path).map_err(unreadable)?);
        // What is no whole gzip is a file like others.
        let _ = decoder.take(HEAD_BYTES as u64).read_to_end(&mut inner);
        head = inner;
    }
    Ok(head.get(MAGIC_AT..).is_some_and(|rest| rest.starts_with(b"ustar")))
}

/// Unpacks an archive; its files are whose it says, or `owner`'s. How many are root's because containers have no such owner.
pub(super) fn unpack(path: &Path, to: &Path, owner: Option<(u32, u32)>) -> Result<u64> {
    let run = || {
        let mut file = BufReader::new(File::open(path)?);
        let is_gzip = io::BufRead::fill_buf(&mut file)?.starts_with(GZIP);
        let input: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut archive = Archive::new(input);
        archive.set_preserve_permissions(true);
        archive.set_preserve_mtime(true);
        archive.set_overwrite(true);
        // Folders at the end, the lowest first: what they allow, and their dates, are not in the way of what is in them.
        let (mut folders, mut unknown) = (Vec::new(), 0);
        for entry in archive.entries()? {
            let mut entry = entry?;
            match entry.header().entry_type().is_dir() {
                true => folders.push(entry),
                false => unknown += u64::from(unpack_one(&mut entry, to, owner)?),
            }
        }
        folders.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
        for mut folder in folders {
            unknown += u64::from(unpack_one(&mut folder, to, owner)?);
        }
        Ok(unknown)
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    run().map_err(|error: io::Error| format!("ADD {name}: it cannot be unpacked: {error}"))
}

/// Whether it had an owner that containers do not have.
fn unpack_one(entry: &mut Entry<'_, impl Read>, to: &Path, owner: Option<(u32, u32)>) -> io::Result<bool> {
    if !entry.unpack_in(to)? {
        return Ok(false);
    }
    let header = entry.header();
    let said = (header.uid()?, header.gid()?);
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id <= ID_MAX);
    let known = (id(said.0), id(said.1));
    let (uid, gid) = owner.unwrap_or((known.0.unwrap_or(0), known.1.unwrap_or(0)));
    let path = entry.path()?;
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let path = to.join(names.collect::<PathBuf>());
    if let Ok(found) = path.symlink_metadata() {
        lchown(&path, Some(uid), Some(gid))?;
        if !found.is_symlink() {
            // Back to what it was: the layer is to tell of setuid bits, which a new owner takes away.
            fs::set_permissions(&path, found.permissions())?;
        }
    }
    Ok(owner.is_none() && (known.0.is_none() || known.1.is_none()))
}
