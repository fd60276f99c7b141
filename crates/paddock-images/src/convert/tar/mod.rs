//! Archives of layers, read once from the beginning to the end. No length in them decides how much memory is used.

mod extension;
mod header;
mod sparse;

use std::collections::VecDeque;
use std::io::{self, Read};

use self::extension::{Extension, RECORDS_MAX};
use self::header::{Header, RECORD};
use self::sparse::{Filled, Fragment};
use super::{PATH_MAX, Refused};
use crate::erofs::Modified;

/// Why an archive cannot be read on.
#[derive(Debug)]
pub(super) enum Problem {
    /// A member is refused.
    Refused(Refused),
    /// The archive is damaged or cut off.
    Unreadable(io::Error),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink,
    Link,
    Device,
    Fifo,
}

/// A member of an archive, but for its content. Paths are as the archive has them.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// What a link leads to.
    pub(super) target: Vec<u8>,
    /// Bytes of a file, its holes among them.
    pub(super) size: u64,
    pub(super) permissions: u16,
    pub(super) owner: (i64, i64),
    pub(super) modified: Modified,
    /// Attributes that it had.
    pub(super) attributes: u64,
    fragments: Option<VecDeque<Fragment>>,
}

/// An archive that is being read.
pub(super) struct TarReader<R> {
    input: R,
    /// What was not read of the member's content, and of what pads it.
    left: u64,
    padding: u64,
    /// The path of the last member that was begun.
    last: Vec<u8>,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0, last: Vec::new() }
    }

    /// The path of the member that was read last, or is being read; empty before the first.
    pub(super) fn last(&self) -> &[u8] {
        &self.last
    }

    pub(super) fn into_input(self) -> R {
        self.input
    }

    /// The next member. Without one the archive was read to its end, and all that is after it is zeros.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Problem> {
        let mut extension = Extension::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                // What was said of a member that is not there.
                return if extension.is_empty() { Ok(None) } else { Err(Refused::BadExtension.into()) };
            };
            match header.kind() {
                b'x' => {
                    let records = self.content_of(&header, RECORDS_MAX)?;
                    extension.records(&records)?;
                }
                b'L' => extension.long_path(self.content_of(&header, PATH_MAX as u64 + 1)?)?,
                b'K' => extension.long_link(self.content_of(&header, PATH_MAX as u64 + 1)?)?,
                // For all members: comments, as git writes them. Engines pass over them, whatever they say; the name of a volume
                // is nothing to us either.
                b'g' | b'V' => self.begin(header.size()?),
                _ => return self.member(&header, extension).map(Some),
            }
        }
    }

    /// The content of the member that was read last.
    pub(super) fn content(&mut self, member: &mut Member) -> Content<'_, R> {
        match member.fragments.take() {
            None => Content::Whole(self),
            Some(fragments) => Content::Filled(Filled::new(self, fragments)),
        }
    }

    fn member(&mut self, header: &Header, extension: Extension) -> Result<Member, Problem> {
        let Extension { path, link, size, uid, gid, modified, attributes, sparse, .. } = extension;
        let path = sparse.name.clone().or(path).unwrap_or_else(|| header.path());
        self.last.clone_from(&path);
        let kind = match header.kind() {
            // Before there was a kind, a slash made a folder.
            0 if path.ends_with(b"/") => Kind::Folder,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::Link,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => return Err(Refused::UnknownKind(other.into()).into()),
        };
        // What is no file has no content, whatever size it names.
        let stored = match kind {
            Kind::File => size.map_or_else(|| header.size(), Ok)?,
            _ => 0,
        };
        self.begin(stored);
        let sparse = match kind {
            Kind::File => sparse::fragments(self, header, &sparse)?,
            _ => None,
        };
        let (size, fragments) = match sparse {
            Some((size, fragments)) => (size, Some(fragments)),
            None => (stored, None),
        };
        let modified = match modified {
            Some(modified) => modified,
            None => Modified { seconds: header.modified()?, nanoseconds: 0 },
        };
        Ok(Member {
            path,
            kind,
            target: link.unwrap_or_else(|| header.link()),
            size,
            permissions: header.permissions()?,
            owner: (uid.map_or_else(|| header.uid(), Ok)?, gid.map_or_else(|| header.gid(), Ok)?),
            modified,
            attributes,
            fragments,
        })
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % RECORD as u64;
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// A record that belongs to a header and is not counted as content.
    fn record_before_content(&mut self) -> Result<[u8; RECORD], Problem> {
        let mut record = [0; RECORD];
        self.input.read_exact(&mut record).map_err(Problem::Unreadable)?;
        Ok(record)
    }

    /// The whole content of a member that says something of another.
    fn content_of(&mut self, header: &Header, bytes_max: u64) -> Result<Vec<u8>, Problem> {
        self.last = header.path();
        let size = header.size()?;
        if size > bytes_max {
            return Err(Refused::BadExtension.into());
        }
        self.begin(size);
        let mut content = vec![0; size as usize];
        self.read_exact(&mut content).map_err(Problem::Unreadable)?;
        Ok(content)
    }

    /// Goes to the next header.
    fn skip(&mut self) -> Result<(), Problem> {
        let rest = self.left.saturating_add(self.padding);
        (self.left, self.padding) = (0, 0);
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink());
        match skipped.map_err(Problem::Unreadable)? {
            skipped if skipped < rest => Err(Problem::Unreadable(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }

    /// The next header, unless the archive ends.
    fn header(&mut self) -> Result<Option<Header>, Problem> {
        let header = Header(self.record_before_content()?);
        if header.is_empty() {
            return self.end().map(|()| None);
        }
        if !header.is_sound() {
            return Err(Problem::Unreadable(damaged("a header has a wrong checksum")));
        }
        Ok(Some(header))
    }

    /// Reads to the end of the input, which is zeros.
    fn end(&mut self) -> Result<(), Problem> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.input.read(&mut buffer).map_err(Problem::Unreadable)? {
                0 => return Ok(()),
                read if buffer[..read].iter().all(|byte| *byte == 0) => {}
                _ => return Err(Problem::Unreadable(damaged("there is more after its end"))),
            }
        }
    }
}

/// The content of the member, and no more.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let some = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(&mut buffer[..some])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// The content of a member as the file has it.
pub(super) enum Content<'a, R> {
    Whole(&'a mut TarReader<R>),
    Filled(Filled<'a, R>),
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Whole(tar) => tar.read(buffer),
            Self::Filled(filled) => filled.read(buffer),
        }
    }
}

pub(super) fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
