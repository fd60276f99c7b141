//! The members of an archive become the entries of a layer: names of whiteouts are their meaning, and what no container gets is left out.

use std::fs::File;
use std::io::Read;

use super::error::told;
use super::tar::{Kind, Member, Problem, TarReader};
use super::{ConvertError, ID_MAX, LayerLimits, PATH_MAX, Refused, Warnings};
use crate::erofs::{Attributes, Entry, FolderId, Modified, NAME_MAX, TARGET_MAX, WriteError, Writer};

/// What a name begins with that hides another.
const WHITEOUT: &[u8] = b".wh.";
/// The name that hides all that lower layers have in its folder, but for the first prefix.
const OPAQUE: &[u8] = b".wh..opq";
/// Bits that have a program run as its owner or group.
const SETUID_SETGID: u16 = 0o6000;
/// The years 1 to 9999: what programs can show of a date.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A layer that was written.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) entries: u64,
    pub(super) warnings: Warnings,
}

/// A layer that is being written.
pub(super) struct LayerBuilder {
    pub(super) writer: Writer,
    limits: LayerLimits,
    entries: u64,
    name_bytes: u64,
    content_bytes: u64,
    pub(super) warnings: Warnings,
}

/// Why a member is not taken.
pub(super) enum Stop {
    Problem(Problem),
    Convert(ConvertError),
}

impl Stop {
    /// What is told of it, the place being known.
    pub(super) fn at(self, path: &[u8]) -> ConvertError {
        let path = path.to_vec();
        match self {
            Self::Convert(error) => error,
            Self::Problem(Problem::Refused(reason)) => ConvertError::Entry { entry: path, reason },
            Self::Problem(Problem::Unreadable(source)) => {
                ConvertError::Unreadable { after: path, source: told(source) }
            }
        }
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Problem(refused.into())
    }
}

impl From<ConvertError> for Stop {
    fn from(error: ConvertError) -> Self {
        Self::Convert(error)
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Content(source) => Self::Problem(Problem::Unreadable(source)),
            other => Self::Convert(other.into()),
        }
    }
}

impl LayerBuilder {
    pub(super) fn new(output: File, limits: LayerLimits) -> Result<Self, ConvertError> {
        let writer = Writer::new(output)?;
        let warnings = Warnings::default();
        Ok(Self { writer, limits, entries: 0, name_bytes: 0, content_bytes: 0, warnings })
    }

    /// Takes all members of an archive.
    pub(super) fn take(&mut self, tar: &mut TarReader<impl Read>) -> Result<(), ConvertError> {
        loop {
            let taken = tar.next().map_err(Stop::from).and_then(|member| match member {
                Some(member) => self.member(tar, member).map(|()| true),
                None => Ok(false),
            });
            match taken {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(stop) => return Err(stop.at(tar.last())),
            }
        }
    }

    pub(super) fn finish(self) -> Result<Written, ConvertError> {
        let Self { writer, entries, warnings, .. } = self;
        Ok(Written { bytes: writer.finish()?, entries, warnings })
    }

    fn member(&mut self, tar: &mut TarReader<impl Read>, mut member: Member) -> Result<(), Stop> {
        let path = std::mem::take(&mut member.path);
        let names = self.names(&path)?;
        let Some((name, parents)) = names.split_last() else {
            return self.root(&member);
        };
        let parent = self.parents(parents)?;
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.whiteout(parent, hidden);
        }
        match member.kind {
            Kind::Device => self.warnings.devices += 1,
            Kind::Fifo => self.warnings.fifos += 1,
            Kind::Folder => {
                let attributes = self.attributes_of(&member);
                self.folder(parent, name, attributes)?;
            }
            Kind::File => {
                let attributes = self.attributes_of(&member);
                let size = member.size;
                self.file(parent, name, attributes, size, &mut tar.content(&mut member))?;
            }
            Kind::Symlink => {
                let attributes = self.attributes_of(&member);
                self.symlink(parent, name, attributes, &member.target)?;
            }
            Kind::Link => self.link(parent, name, member.target)?,
        }
        Ok(())
    }

    /// The folder that everything is in, as `tar -C folder .` writes it.
    fn root(&mut self, member: &Member) -> Result<(), Stop> {
        if member.kind != Kind::Folder {
            return Err(Refused::RootFile.into());
        }
        let attributes = self.attributes_of(member);
        self.writer.set_attributes(FolderId::ROOT, attributes);
        Ok(())
    }

    /// The components of a path. Where it is absolute it is so within the container.
    fn names<'a>(&self, path: &'a [u8]) -> Result<Vec<&'a [u8]>, Refused> {
        if path.is_empty() || path.contains(&0) {
            return Err(Refused::BadPath);
        }
        if path.len() > PATH_MAX {
            return Err(Refused::LongPath);
        }
        let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        let names: Vec<&[u8]> = names.collect();
        if names.contains(&&b".."[..]) {
            return Err(Refused::ParentPath);
        }
        if names.iter().any(|name| name.len() > NAME_MAX) {
            return Err(Refused::LongName);
        }
        if names.len() > self.limits.depth {
            return Err(Refused::DeepPath(self.limits.depth));
        }
        Ok(names)
    }

    /// The folder of these names. Those that are missing belong to root, as do those that engines make.
    fn parents(&mut self, names: &[&[u8]]) -> Result<FolderId, Stop> {
        let attributes = Attributes { permissions: 0o755, ..Attributes::default() };
        let mut folder = FolderId::ROOT;
        for (depth, name) in names.iter().enumerate() {
            if name.starts_with(WHITEOUT) {
                return Err(Refused::BadWhiteout.into());
            }
            folder = match self.writer.get(folder, name) {
                Some(Entry::Folder(inner)) => inner,
                Some(Entry::File(file)) if !file.is_whiteout() => {
                    return Err(Refused::BelowFile(names[..=depth].join(&b'/')).into());
                }
                _ => self.folder(folder, name, attributes)?,
            };
        }
        Ok(folder)
    }

    /// A folder, which keeps what it has if it is there already.
    pub(super) fn folder(
        &mut self,
        parent: FolderId,
        name: &[u8],
        attributes: Attributes,
    ) -> Result<FolderId, ConvertError> {
        self.count(name)?;
        let before = self.writer.get(parent, name);
        if let Some(Entry::Folder(folder)) = before {
            self.writer.set_attributes(folder, attributes);
            return Ok(folder);
        }
        let folder = self.writer.add_folder(parent, name, attributes)?;
        // What was hidden stays so, although there is a folder again.
        if matches!(before, Some(Entry::File(file)) if file.is_whiteout()) {
            self.writer.set_opaque(folder);
        }
        Ok(folder)
    }

    pub(super) fn file(
        &mut self,
        parent: FolderId,
        name: &[u8],
        attributes: Attributes,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), Stop> {
        self.count(name)?;
        self.content_bytes = self.content_bytes.saturating_add(size);
        if self.content_bytes > self.limits.bytes {
            return Err(ConvertError::TooLarge(self.limits.bytes).into());
        }
        Ok(self.writer.add_file(parent, name, attributes, size, content)?)
    }

    pub(super) fn symlink(
        &mut self,
        parent: FolderId,
        name: &[u8],
        attributes: Attributes,
        target: &[u8],
    ) -> Result<(), Stop> {
        self.count(name)?;
        if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
            return Err(Refused::BadTarget.into());
        }
        Ok(self.writer.add_symlink(parent, name, attributes, target)?)
    }

    /// A hard link: to what an earlier member has written, no matter where links of other kinds lead.
    fn link(&mut self, parent: FolderId, name: &[u8], target: Vec<u8>) -> Result<(), Stop> {
        self.count(name)?;
        let names = match self.names(&target) {
            Ok(names) => names,
            Err(_) => return Err(Refused::ForeignLink(target).into()),
        };
        let mut found = Some(Entry::Folder(FolderId::ROOT));
        for name in names {
            found = match found {
                Some(Entry::Folder(folder)) => self.writer.get(folder, name),
                _ => None,
            };
        }
        match found {
            Some(Entry::File(file)) if !file.is_whiteout() => Ok(self.writer.add_link(parent, name, file)?),
            _ => Err(Refused::ForeignLink(target).into()),
        }
    }

    fn whiteout(&mut self, parent: FolderId, hidden: &[u8]) -> Result<(), Stop> {
        if hidden == OPAQUE {
            if parent == FolderId::ROOT {
                return Err(Refused::OpaqueRoot.into());
            }
            self.writer.set_opaque(parent);
            return Ok(());
        }
        if hidden.starts_with(WHITEOUT) {
            self.warnings.marks += 1;
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Refused::BadWhiteout.into());
        }
        self.count(hidden)?;
        Ok(self.writer.add_whiteout(parent, hidden)?)
    }

    /// An entry more.
    pub(super) fn count(&mut self, name: &[u8]) -> Result<(), ConvertError> {
        self.entries += 1;
        self.name_bytes += name.len() as u64;
        if self.entries > self.limits.entries {
            return Err(ConvertError::TooManyEntries(self.limits.entries));
        }
        if self.name_bytes > self.limits.name_bytes {
            return Err(ConvertError::TooManyNames(self.limits.name_bytes));
        }
        Ok(())
    }

    fn attributes_of(&mut self, member: &Member) -> Attributes {
        self.warnings.attributes += member.attributes;
        self.attributes(member.permissions, member.owner, member.modified)
    }

    /// What a container gets of an entry's attributes.
    pub(super) fn attributes(
        &mut self,
        permissions: u16,
        owner: (i64, i64),
        modified: Modified,
    ) -> Attributes {
        let id = |id: i64| u32::try_from(id).ok().filter(|id| *id <= ID_MAX);
        let (uid, gid) = (id(owner.0), id(owner.1));
        self.warnings.ids += u64::from(uid.is_none() || gid.is_none());
        self.warnings.setuid += u64::from(permissions & SETUID_SETGID != 0);
        let seconds = modified.seconds.clamp(*SECONDS.start(), *SECONDS.end());
        Attributes {
            permissions: permissions & !SETUID_SETGID,
            uid: uid.unwrap_or(0),
            gid: gid.unwrap_or(0),
            modified: Modified { seconds, ..modified },
        }
    }
}
