//! What may be in a source archive (tar, tar.gz) before a build unpacks it.
//!
//! The check reads the raw headers itself, so that no length in the archive decides how much memory is used, and
//! refuses whatever two unpackers could read differently.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

/// Bounds of a source archive. Heroku: a checkout of at most 1 GB (`docs/contract/platform-behaviour.md`, section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Files, folders and links.
    pub entries: u64,
    /// Unpacked bytes, headers included.
    pub bytes: u64,
    /// Bytes of one path.
    pub path_bytes: usize,
    /// Components of one path.
    pub path_depth: usize,
}

impl ArchiveLimits {
    /// For the source of a build.
    pub const SOURCE: Self = Self { entries: 200_000, bytes: 1 << 30, path_bytes: 1024, path_depth: 64 };
}

/// What a sound archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The one folder at the top that everything else lies in, if there is one (archives of GitHub have it).
    pub top_folder: Option<Vec<u8>>,
    /// Whether the archive is compressed by gzip.
    pub is_gzip: bool,
}

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// An entry is refused.
    #[error("source archive: {entry:?} {reason}")]
    Entry {
        /// The entry's path, as far as it is known.
        entry: String,
        /// What is wrong with it.
        reason: Refused,
    },
    /// There are more entries than the limit.
    #[error("source archive: more than {0} entries")]
    TooManyEntries(u64),
    /// It is larger than the limit when unpacked.
    #[error("source archive: more than {0} bytes when unpacked")]
    TooLarge(u64),
    /// It holds no entry at all.
    #[error("source archive: it is empty")]
    Empty,
    /// It cannot be read: truncated, damaged, not a tar.
    #[error("source archive: {}", unreadable_place(.after))]
    Unreadable {
        /// The last entry that could be read; empty before the first.
        after: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How far an archive could be read.
fn unreadable_place(after: &str) -> String {
    match after {
        "" => "it is no whole tar archive, gzipped or not".to_owned(),
        after => format!("it could not be read after {after:?}: it is damaged or cut off"),
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its path begins with `/`.
    #[error("has an absolute path")]
    AbsolutePath,
    /// Its path has a component `..`.
    #[error("has a path with \"..\"")]
    ParentPath,
    /// It has no path, or one with a NUL in it.
    #[error("has no proper path")]
    BadPath,
    /// Its path has too many bytes.
    #[error("has too long a path")]
    LongPath,
    /// Its path has too many components.
    #[error("lies too deep")]
    DeepPath,
    /// Its path leads through, or onto, a link of the same archive.
    #[error("would be written through a link")]
    ThroughLink,
    /// It is a hard link to something that is not an earlier file of the archive.
    #[error("is a hard link to something outside of the archive")]
    ForeignLink,
    /// It is a device or a fifo.
    #[error("is a device or a fifo")]
    Special,
    /// It is of a kind that sources do not need (sparse, multi-volume, vendor's).
    #[error("is of an unknown kind")]
    UnknownKind,
    /// Its extended header is too long, malformed, or contradicts its header.
    #[error("has a bad extended header")]
    BadExtension,
}

/// Checks a whole tar or tar.gz, reading it once to its end.
///
/// # Errors
/// [`ArchiveError`]: the first thing that is wrong with it.
pub fn check_source_archive(
    reader: impl Read,
    limits: &ArchiveLimits,
) -> Result<ArchiveSummary, ArchiveError> {
    let unreadable = |source| ArchiveError::Unreadable { after: String::new(), source };
    let mut reader = BufReader::new(reader);
    let is_gzip = reader.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    if is_gzip {
        check_tar(MultiGzDecoder::new(reader), true, limits)
    } else {
        check_tar(reader, false, limits)
    }
}

fn check_tar(
    reader: impl Read,
    is_gzip: bool,
    limits: &ArchiveLimits,
) -> Result<ArchiveSummary, ArchiveError> {
    let mut check = Check::new(*limits);
    // One more than allowed: who reads that far is over the limit.
    let mut limited = reader.take(limits.bytes.saturating_add(1));
    let mut archive = tar::Archive::new(&mut limited);
    let walked = check.walk(&mut archive).and_then(|()| check.end(&mut limited));
    // The walk over a cut stream fails in many ways; the cut is the cause.
    if limited.limit() == 0 {
        return Err(ArchiveError::TooLarge(limits.bytes));
    }
    walked?;
    check.summary(is_gzip)
}

/// What extended headers say of the entry after them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// There was a header of pax.
    is_pax: bool,
}

/// Names something that has no name yet: of two, one unpacker takes the first and another the last.
fn name(place: &mut Option<Vec<u8>>, text: Vec<u8>) -> Result<(), Refused> {
    match place.replace(text) {
        None => Ok(()),
        Some(_) => Err(Refused::BadExtension),
    }
}

struct Check {
    limits: ArchiveLimits,
    entries: u64,
    bytes: u64,
    last: String,
    files: HashSet<Vec<u8>>,
    links: HashSet<Vec<u8>>,
    top: Top,
    next: Extension,
}

/// The components at the top seen so far.
enum Top {
    Unknown,
    One { name: Vec<u8>, is_folder: bool },
    Several,
}

impl Check {
    fn new(limits: ArchiveLimits) -> Self {
        Self {
            limits,
            entries: 0,
            bytes: 0,
            last: String::new(),
            files: HashSet::new(),
            links: HashSet::new(),
            top: Top::Unknown,
            next: Extension::default(),
        }
    }

    fn walk<R: Read>(&mut self, archive: &mut tar::Archive<R>) -> Result<(), ArchiveError> {
        let entries = archive.entries().map_err(|source| self.unreadable(source))?;
        for entry in entries.raw(true) {
            let mut entry = entry.map_err(|source| self.unreadable(source))?;
            self.bytes = self.bytes.saturating_add(entry.size());
            if self.bytes > self.limits.bytes {
                return Err(ArchiveError::TooLarge(self.limits.bytes));
            }
            match entry.header().entry_type() {
                EntryType::GNULongName => {
                    let path = self.text(&mut entry)?;
                    name(&mut self.next.path, path).map_err(|reason| self.refuse(reason))?;
                }
                EntryType::GNULongLink => {
                    let link = self.text(&mut entry)?;
                    name(&mut self.next.link, link).map_err(|reason| self.refuse(reason))?;
                }
                EntryType::XHeader => self.extended(&mut entry)?,
                // Comments for all entries, as git writes them; its size is counted, its content never used.
                EntryType::XGlobalHeader => self.global(&mut entry)?,
                _ => self.entry(&entry)?,
            }
        }
        self.nothing_is_announced()
    }

    /// No extended header waits for its entry.
    fn nothing_is_announced(&self) -> Result<(), ArchiveError> {
        if self.next == Extension::default() { Ok(()) } else { Err(self.refuse(Refused::BadExtension)) }
    }

    /// Reads on to the end of the stream: its checksum is verified there, and what an unpacker that ignores the mark
    /// of the end would take for further entries is refused.
    fn end(&self, rest: &mut impl Read) -> Result<(), ArchiveError> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match rest.read(&mut buffer).map_err(|source| self.unreadable(source))? {
                0 => return Ok(()),
                read if buffer[..read].iter().all(|byte| *byte == 0) => {}
                _ => {
                    let source = io::Error::new(io::ErrorKind::InvalidData, "there is more after its end");
                    return Err(self.unreadable(source));
                }
            }
        }
    }

    fn entry<R: Read>(&mut self, entry: &tar::Entry<'_, R>) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::TooManyEntries(self.limits.entries));
        }
        let Extension { path, link, .. } = std::mem::take(&mut self.next);
        let path = path.unwrap_or_else(|| entry.header().path_bytes().into_owned());
        self.last = String::from_utf8_lossy(&path[..path.len().min(self.limits.path_bytes)]).into_owned();
        let kind = entry.header().entry_type();
        let path = self.clean(&path).map_err(|reason| self.refuse(reason))?;
        if path.is_empty() {
            // The folder itself, as `tar -C folder .` writes it.
            return if kind.is_dir() { Ok(()) } else { Err(self.refuse(Refused::BadPath)) };
        }
        if self.leads_through_link(&path) || (self.links.contains(&path) && !kind.is_symlink()) {
            return Err(self.refuse(Refused::ThroughLink));
        }
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                self.files.insert(path.clone());
            }
            EntryType::Directory => {}
            EntryType::Symlink => {
                self.files.remove(&path);
                self.links.insert(path.clone());
            }
            EntryType::Link => {
                let link = link.or_else(|| Some(entry.header().link_name_bytes()?.into_owned()));
                self.hard_link(link.as_deref().unwrap_or_default()).map_err(|reason| self.refuse(reason))?;
                self.files.insert(path.clone());
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => return Err(self.refuse(Refused::Special)),
            _ => return Err(self.refuse(Refused::UnknownKind)),
        }
        self.note_top(&path, kind.is_dir());
        Ok(())
    }

    /// A hard link may name an earlier file of this archive only: anything else is a way to the unpacker's own files.
    fn hard_link(&self, target: &[u8]) -> Result<(), Refused> {
        let target = self.clean(target).map_err(|_| Refused::ForeignLink)?;
        if self.files.contains(&target) && !self.leads_through_link(&target) {
            Ok(())
        } else {
            Err(Refused::ForeignLink)
        }
    }

    /// The path without `.` and doubled slashes; empty for the root of the archive.
    fn clean(&self, path: &[u8]) -> Result<Vec<u8>, Refused> {
        if path.is_empty() || path.contains(&0) {
            return Err(Refused::BadPath);
        }
        if path.len() > self.limits.path_bytes {
            return Err(Refused::LongPath);
        }
        if path.starts_with(b"/") {
            return Err(Refused::AbsolutePath);
        }
        let parts: Vec<&[u8]> =
            path.split(|c| *c == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
        if parts.contains(&&b".."[..]) {
            return Err(Refused::ParentPath);
        }
        if parts.len() > self.limits.path_depth {
            return Err(Refused::DeepPath);
        }
        Ok(parts.join(&b'/'))
    }

    fn leads_through_link(&self, path: &[u8]) -> bool {
        let mut slashes = path.iter().enumerate().filter(|(_, c)| **c == b'/');
        !self.links.is_empty() && slashes.any(|(end, _)| self.links.contains(&path[..end]))
    }

    fn note_top(&mut self, path: &[u8], is_folder: bool) {
        let end = path.iter().position(|c| *c == b'/');
        let (name, is_folder) = (&path[..end.unwrap_or(path.len())], is_folder || end.is_some());
        match &mut self.top {
            Top::Unknown => self.top = Top::One { name: name.to_owned(), is_folder },
            Top::One { name: known, is_folder: known_folder } if known == name => *known_folder = is_folder,
            Top::One { .. } => self.top = Top::Several,
            Top::Several => {}
        }
    }

    /// The content of a name that was too long for its header.
    fn text<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, ArchiveError> {
        let mut text = self.content(entry, self.limits.path_bytes + 1)?;
        if text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    fn extended<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), ArchiveError> {
        let content = self.content(entry, 16 * 1024 + 2 * self.limits.path_bytes)?;
        if std::mem::replace(&mut self.next.is_pax, true) {
            return Err(self.refuse(Refused::BadExtension));
        }
        for record in tar::PaxExtensions::new(&content) {
            let Ok(record) = record else { return Err(self.refuse(Refused::BadExtension)) };
            let value = record.value_bytes().to_owned();
            let named = match record.key_bytes() {
                b"path" => name(&mut self.next.path, value),
                b"linkpath" => name(&mut self.next.link, value),
                // Only for files beyond 8 GB, and the way to make two readers see two different archives.
                b"size" => Err(Refused::BadExtension),
                key if key.starts_with(b"GNU.sparse") => Err(Refused::UnknownKind),
                _ => Ok(()),
            };
            named.map_err(|reason| self.refuse(reason))?;
        }
        Ok(())
    }

    fn global<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), ArchiveError> {
        let content = self.content(entry, 16 * 1024)?;
        // Between an extended header and its entry some take it for that entry.
        self.nothing_is_announced()?;
        for record in tar::PaxExtensions::new(&content) {
            let harmless = record.is_ok_and(|record| {
                let key = record.key_bytes();
                !matches!(key, b"path" | b"linkpath" | b"size") && !key.starts_with(b"GNU.sparse")
            });
            if !harmless {
                return Err(self.refuse(Refused::BadExtension));
            }
        }
        Ok(())
    }

    fn content<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ArchiveError> {
        let header = entry.header();
        self.last = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        // Without the mark of a format that has extensions some take it for an entry of its own.
        let is_extended = header.as_ustar().is_some() || header.as_gnu().is_some();
        if !is_extended || entry.size() > bytes_max as u64 {
            return Err(self.refuse(Refused::BadExtension));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|source| self.unreadable(source))?;
        Ok(content)
    }

    fn summary(self, is_gzip: bool) -> Result<ArchiveSummary, ArchiveError> {
        let top_folder = match self.top {
            Top::One { name, is_folder: true } => Some(name),
            _ => None,
        };
        if self.entries == 0 {
            return Err(ArchiveError::Empty);
        }
        Ok(ArchiveSummary { entries: self.entries, bytes: self.bytes, top_folder, is_gzip })
    }

    fn refuse(&self, reason: Refused) -> ArchiveError {
        ArchiveError::Entry { entry: self.last.clone(), reason }
    }

    fn unreadable(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Unreadable { after: self.last.clone(), source }
    }
}
