//! A writer of EROFS images, fed entry by entry in any order: content goes to the file at once, names and numbers stay in
//! memory, folders are written at the end. Equal entries in the same order give equal bytes.
//!
//! Not compressed, and small: what is left of a file after its whole blocks lies behind its inode, in blocks that inodes
//! share. What was written and then replaced by a later entry of its name stays in the file as bytes that nothing names.
//! Why this is ours: `docs/decisions/0028-own-erofs-writer.md`.

mod folders;
mod format;
mod space;
mod tree;

use std::fs::File;
use std::io::{self, Read};

use self::format::{BLOCK, INODE, Inode, Kind, Layout};
use self::space::Space;
use self::tree::Tree;
pub use self::tree::{Entry, FileId, FolderId};

/// Bytes of a name.
pub const NAME_MAX: usize = 255;
/// Bytes of a link's target.
pub const TARGET_MAX: usize = 4095;

/// Who may do what with an entry, and since when it is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// The lower twelve bits of its mode.
    pub permissions: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The date of its content.
    pub modified: Modified,
}

/// A date, counted from the beginning of 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Modified {
    /// Whole seconds.
    pub seconds: i64,
    /// What is left of a second.
    pub nanoseconds: u32,
}

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The content of an entry could not be read to its end.
    #[error("the content could not be read")]
    Content(#[source] io::Error),
    /// The output file.
    #[error("the image could not be written")]
    Output(#[source] io::Error),
    /// No folder has an entry of this name, or no link this target.
    #[error("{0:?} is no proper name")]
    Name(String),
    /// It has more blocks than can be numbered.
    #[error("the image has more than 16 TB")]
    TooLarge,
}

/// An image that is being written.
#[derive(Debug)]
pub struct Writer {
    space: Space,
    tree: Tree,
    /// Inodes written.
    written: u32,
}

impl Writer {
    /// Begins an image in `output`, which is empty. The root is root's and open to all until something else is said.
    ///
    /// # Errors
    /// [`WriteError::Output`].
    pub fn new(output: File) -> Result<Self, WriteError> {
        let root = Attributes { permissions: 0o755, ..Attributes::default() };
        Ok(Self { space: Space::new(output)?, tree: Tree::new(root), written: 0 })
    }

    /// What a folder has under a name.
    #[must_use]
    pub fn get(&self, folder: FolderId, name: &[u8]) -> Option<Entry> {
        self.tree.get(folder, name)
    }

    /// Adds an empty folder, in the place of what has the name.
    ///
    /// # Errors
    /// [`WriteError::Name`].
    pub fn add_folder(
        &mut self,
        parent: FolderId,
        name: &[u8],
        attributes: Attributes,
    ) -> Result<FolderId, WriteError> {
        check_name(name)?;
        Ok(self.tree.add_folder(parent, name, attributes))
    }

    /// Gives a folder its attributes; the last that were given count.
    pub fn set_attributes(&mut self, folder: FolderId, attributes: Attributes) {
        self.tree.folder_mut(folder).attributes = attributes;
    }

    /// Has a folder hide what lower layers have in it.
    pub fn set_opaque(&mut self, folder: FolderId) {
        self.tree.folder_mut(folder).is_opaque = true;
    }

    /// Adds a file of `size` bytes read from `content`, in the place of what has the name.
    ///
    /// # Errors
    /// [`WriteError`]; nothing more can be added after it.
    pub fn add_file(
        &mut self,
        parent: FolderId,
        name: &[u8],
        attributes: Attributes,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), WriteError> {
        self.add(parent, name, Kind::File, attributes, size, content)
    }

    /// Adds a symbolic link, in the place of what has the name.
    ///
    /// # Errors
    /// [`WriteError`]; [`WriteError::Name`] for an impossible target, too.
    pub fn add_symlink(
        &mut self,
        parent: FolderId,
        name: &[u8],
        attributes: Attributes,
        target: &[u8],
    ) -> Result<(), WriteError> {
        if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
            return Err(WriteError::Name(String::from_utf8_lossy(target).into_owned()));
        }
        self.add(parent, name, Kind::Symlink, attributes, target.len() as u64, &mut &target[..])
    }

    /// Hides what lower layers have of a name, and replaces what has it here.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn add_whiteout(&mut self, parent: FolderId, name: &[u8]) -> Result<(), WriteError> {
        self.add(parent, name, Kind::Whiteout, Attributes::default(), 0, &mut io::empty())
    }

    /// Gives something a further name, in the place of what has that.
    ///
    /// # Errors
    /// [`WriteError::Name`].
    pub fn add_link(&mut self, parent: FolderId, name: &[u8], file: FileId) -> Result<(), WriteError> {
        check_name(name)?;
        self.tree.add_link(parent, name, file);
        Ok(())
    }

    fn add(
        &mut self,
        parent: FolderId,
        name: &[u8],
        kind: Kind,
        attributes: Attributes,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), WriteError> {
        check_name(name)?;
        let mut rest = vec![0; (size % BLOCK as u64) as usize];
        let in_blocks = size - rest.len() as u64;
        let fits = INODE + rest.len() <= BLOCK;
        let layout = if !rest.is_empty() && fits { Layout::Inline } else { Layout::Plain };
        let first_block = if in_blocks > 0 || !fits { format::block_number(self.space.end())? } else { 0 };
        self.space.append(content, in_blocks)?;
        content.read_exact(&mut rest).map_err(WriteError::Content)?;
        if !fits {
            rest.resize(BLOCK, 0);
            self.space.append(&mut rest.as_slice(), BLOCK as u64)?;
            rest.clear();
        }
        let inode = Inode { kind, layout, attributes, size, first_block, links: 1, is_opaque: false };
        let mut bytes = self.encode(&inode);
        bytes.extend(rest);
        let at = self.space.reserve(bytes.len())?;
        self.space.put(at, &bytes)?;
        self.tree.add_file(parent, name, FileId { at, kind });
        Ok(())
    }

    fn encode(&mut self, inode: &Inode) -> Vec<u8> {
        self.written = self.written.wrapping_add(1);
        inode.encode(self.written)
    }

    /// Writes folders and what is known at the end alone. Answers with the bytes of the image.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(mut self) -> Result<u64, WriteError> {
        folders::write(&mut self)?;
        for (at, names) in self.tree.links() {
            self.space.put(at + format::LINKS_AT, &names.to_le_bytes())?;
        }
        let end = self.space.end();
        let (at, superblock) = format::superblock(format::block_number(end)?, self.tree.inodes());
        self.space.put(at, &superblock)?;
        self.space.finish()?;
        Ok(end)
    }
}

fn check_name(name: &[u8]) -> Result<(), WriteError> {
    let is_proper = !matches!(name, b"" | b"." | b"..")
        && name.len() <= NAME_MAX
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
    if is_proper { Ok(()) } else { Err(WriteError::Name(String::from_utf8_lossy(name).into_owned())) }
}
