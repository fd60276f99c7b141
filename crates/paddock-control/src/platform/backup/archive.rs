//! The file of a backup: a gzip-compressed tar of plain files.
//!
//! ```text
//! header.json     format, version, bytes, whether clear secrets are in it: read before anything else
//! members …       each written and read once, in order
//! manifest.json   every member's bytes and SHA-256
//! manifest.seal   the SHA-256 of the manifest, sealed with the data key: who lacks the master key cannot change a byte
//! ```
//! A file that was cut off has no manifest, one that was changed has another; both are said.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use paddock_core::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::platform::backup::error::{ArchiveError, RestoreError};
use crate::platform::backup::member;

/// The newest form that this program writes and reads.
pub const FORMAT: u32 = 2;
/// The form of an archive without dumps of databases, which older programs read, too.
pub(super) const FORMAT_WITHOUT_DUMPS: u32 = 1;

const HEADER: &str = "header.json";
const MANIFEST: &str = "manifest.json";
const SEAL: &str = "manifest.seal";
const HEADER_BYTES_MAX: u64 = 64 * 1024;
/// Enough for some five million members.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const SEAL_BYTES_MAX: u64 = 1024;
/// A tar ends with two empty blocks.
const TRAILER_BYTES_MAX: u64 = 1024 * 1024;
const CHUNK_BYTES: usize = 256 * 1024;

/// What is said of an archive at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The form of the archive.
    pub format: u32,
    /// The version of the program that wrote it.
    pub version: String,
    pub created_at: String,
    /// The bytes of all members but dumps of databases, of which nobody knows them before; they may be fewer in the end.
    pub bytes: u64,
    /// How many apps are in it.
    pub apps: u64,
    /// Whether the master key and the other secrets in clear are in it.
    pub clear_secrets: bool,
}

/// One member in the list at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

pub(super) struct Writer {
    tar: tar::Builder<GzEncoder<BufWriter<File>>>,
    members: Vec<Member>,
}

impl Writer {
    pub(super) fn begin(out: File, header: &Header) -> Result<Self, ArchiveError> {
        let gzip = GzEncoder::new(BufWriter::with_capacity(CHUNK_BYTES, out), Compression::fast());
        let mut writer = Self { tar: tar::Builder::new(gzip), members: Vec::new() };
        writer.append(HEADER, &json(header)?)?;
        Ok(writer)
    }

    /// Adds the first `bytes` bytes of `content`.
    pub(super) fn add(&mut self, name: &str, bytes: u64, content: impl Read) -> Result<(), ArchiveError> {
        let mut hashed = Hashed { inner: content.take(bytes), hash: Sha256::new(), bytes: 0 };
        let header = tar_header(name, bytes)?;
        self.tar.append(&header, &mut hashed).map_err(ArchiveError::Write)?;
        if hashed.bytes != bytes {
            return Err(ArchiveError::Shrunk { name: name.to_owned() });
        }
        let sha256 = hex(&hashed.hash.finalize());
        self.members.push(Member { name: name.to_owned(), bytes, sha256 });
        Ok(())
    }

    /// The list of what was added.
    pub(super) fn manifest(&self) -> Result<Vec<u8>, ArchiveError> {
        let manifest = json(&self.members)?;
        match manifest.len() as u64 <= MANIFEST_BYTES_MAX {
            true => Ok(manifest),
            false => Err(ArchiveError::TooMany { members: self.members.len() }),
        }
    }

    /// Adds the list and its seal, and waits until all is on disk. How many members, and their bytes.
    pub(super) fn finish(mut self, manifest: &[u8], seal: &[u8]) -> Result<(u64, u64), ArchiveError> {
        self.append(MANIFEST, manifest)?;
        self.append(SEAL, seal)?;
        let gzip = self.tar.into_inner().map_err(ArchiveError::Write)?;
        let out = gzip.finish().map_err(ArchiveError::Write)?;
        let out = out.into_inner().map_err(|error| ArchiveError::Write(error.into_error()))?;
        match out.sync_all() {
            // A pipe is on no disk.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            synced => synced.map_err(ArchiveError::Write)?,
        }
        Ok((self.members.len() as u64, self.members.iter().map(|member| member.bytes).sum()))
    }

    fn append(&mut self, name: &str, content: &[u8]) -> Result<(), ArchiveError> {
        let header = tar_header(name, content.len() as u64)?;
        self.tar.append(&header, content).map_err(ArchiveError::Write)
    }
}

/// Takes an archive as it is read.
pub(super) trait Sink {
    /// The header, before anything else.
    fn begin(&mut self, header: &Header) -> Result<(), RestoreError>;
    /// A member; all of `content` is to be read.
    fn member(&mut self, name: &str, bytes: u64, content: &mut dyn Read) -> Result<(), RestoreError>;
}

/// An archive that was read to its end and is what it was when it was written, as far as checksums tell.
pub(super) struct Whole {
    pub(super) header: Header,
    pub(super) members: Vec<Member>,
    pub(super) manifest: Vec<u8>,
    pub(super) seal: Vec<u8>,
}

/// Hands an archive to `sink`, then compares what was read with the list at its end.
pub(super) fn read(file: File, sink: &mut impl Sink) -> Result<Whole, RestoreError> {
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::with_capacity(CHUNK_BYTES, file)));
    let mut entries = archive.entries().map_err(ArchiveError::Read)?;
    let first = entries.next().ok_or(ArchiveError::NotABackup)?;
    let mut first = first.map_err(|_| ArchiveError::NotABackup)?;
    if name_of(&first)? != HEADER {
        return Err(ArchiveError::NotABackup.into());
    }
    let header = header_of(&small(&mut first, HEADER, HEADER_BYTES_MAX)?)?;
    sink.begin(&header)?;
    let (mut left, mut members, mut list) = (header.bytes, Vec::new(), None);
    for entry in entries {
        let mut entry = entry.map_err(ArchiveError::Read)?;
        let name = name_of(&entry)?;
        match (name.as_str(), list.take()) {
            (MANIFEST, None) => list = Some(small(&mut entry, MANIFEST, MANIFEST_BYTES_MAX)?),
            (SEAL, Some(manifest)) => {
                let seal = small(&mut entry, SEAL, SEAL_BYTES_MAX)?;
                drop(entry);
                drain(archive)?;
                compare(&members, &manifest)?;
                return Ok(Whole { header, members, manifest, seal });
            }
            (_, Some(_)) => return Err(ArchiveError::Refused { name, reason: "comes after the list" }.into()),
            (_, None) => {
                let bytes = entry.size();
                let announced = if member::addon_of(&name).is_some() { 0 } else { bytes };
                let Some(rest) = left.checked_sub(announced) else {
                    return Err(ArchiveError::Refused { name, reason: "is larger than was announced" }.into());
                };
                left = rest;
                members.push(take(&mut entry, name, bytes, sink)?);
            }
        }
    }
    Err(ArchiveError::NoManifest.into())
}

fn take(
    content: &mut impl Read,
    name: String,
    bytes: u64,
    sink: &mut impl Sink,
) -> Result<Member, RestoreError> {
    let mut hashed = Hashed { inner: content, hash: Sha256::new(), bytes: 0 };
    sink.member(&name, bytes, &mut hashed)?;
    if hashed.bytes != bytes {
        return Err(ArchiveError::Read(io::ErrorKind::UnexpectedEof.into()).into());
    }
    Ok(Member { name, bytes, sha256: hex(&hashed.hash.finalize()) })
}

/// What was read is what is listed, in the same order.
fn compare(members: &[Member], manifest: &[u8]) -> Result<(), ArchiveError> {
    let listed: Vec<Member> = serde_json::from_slice(manifest)
        .map_err(|_| ArchiveError::Refused { name: MANIFEST.to_owned(), reason: "is no list of files" })?;
    for (read, listed) in members.iter().zip(&listed) {
        if read != listed {
            let (name, reason) = (read.name.clone(), "is not what the list of checksums says");
            return Err(ArchiveError::Refused { name, reason });
        }
    }
    if members.len() != listed.len() {
        let (name, reason) = (MANIFEST.to_owned(), "lists other files than there are");
        return Err(ArchiveError::Refused { name, reason });
    }
    Ok(())
}

/// To the end of the compressed stream, where its own checksum is.
fn drain(archive: tar::Archive<GzDecoder<BufReader<File>>>) -> Result<(), ArchiveError> {
    let mut gzip = archive.into_inner();
    io::copy(&mut (&mut gzip).take(TRAILER_BYTES_MAX), &mut io::sink()).map_err(ArchiveError::Read)?;
    Ok(())
}

/// The name of a member that is a plain file.
fn name_of<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String, ArchiveError> {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    if entry.header().entry_type() != tar::EntryType::Regular {
        return Err(ArchiveError::Refused { name, reason: "is no plain file" });
    }
    Ok(name)
}

fn small<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    name: &str,
    bytes_max: u64,
) -> Result<Vec<u8>, ArchiveError> {
    if entry.size() > bytes_max {
        return Err(ArchiveError::Refused { name: name.to_owned(), reason: "is too large" });
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(ArchiveError::Read)?;
    Ok(content)
}

/// The form is looked at before anything else: a newer one may have other fields.
fn header_of(text: &[u8]) -> Result<Header, ArchiveError> {
    #[derive(Deserialize)]
    struct Form {
        format: u32,
        version: String,
    }
    let Form { format, version } = serde_json::from_slice(text).map_err(|_| ArchiveError::NotABackup)?;
    if format > FORMAT {
        return Err(ArchiveError::Newer { version, format });
    }
    serde_json::from_slice(text).map_err(|_| ArchiveError::NotABackup)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ArchiveError> {
    serde_json::to_vec(value).map_err(|error| ArchiveError::Write(error.into()))
}

fn tar_header(name: &str, bytes: u64) -> Result<tar::Header, ArchiveError> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).map_err(ArchiveError::Write)?;
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

/// Hashes and counts what goes through.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
