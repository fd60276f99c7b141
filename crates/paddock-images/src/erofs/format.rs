//! What EROFS is on disk, as far as we write it: the kernel's `fs/erofs/erofs_fs.h`. Numbers are little endian.
//!
//! With `meta_blkaddr` 0 an inode's number is its offset by 32, so inodes may be anywhere.

use super::{Attributes, WriteError};

/// Bytes of a block, of files and of folders.
pub(super) const BLOCK: usize = 4096;
/// Inodes begin at multiples of this.
pub(super) const SLOT: usize = 32;
/// Bytes of an inode in its extended form, the one with dates.
pub(super) const INODE: usize = 64;
/// Bytes of the marks of an opaque folder, after its inode.
const OPAQUE: usize = 52;
/// Bytes of a folder's entry, but for its name.
pub(super) const DIRENT: usize = 12;

const SUPERBLOCK_AT: usize = 1024;
const SUPERBLOCK: usize = 128;
/// Where the root's inode is: the superblock has 16 bits for its number, so it is at the beginning.
pub(super) const ROOT_AT: u64 = (SUPERBLOCK_AT + SUPERBLOCK) as u64;
/// What follows the root's inode and what it may have of marks.
pub(super) const FIRST_FREE: usize = SUPERBLOCK_AT + SUPERBLOCK + 128;

const MAGIC: u32 = 0xe0f5_e1e2;
const BLOCK_BITS: u8 = 12;
/// Inodes have dates.
const COMPAT_MTIME: u32 = 2;
/// The file system's own id, and the date of its making: those of every layer (`convert::mkfs_erofs_command`).
const UUID: u128 = 0x7d9a_1f3e_5c42_4b6e_9a57_2f0c_8e61_b3d4;
const MADE_AT: u64 = 4_102_444_800;

/// How an inode's content is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// In blocks of its own.
    Plain,
    /// Whole blocks of its own; what is left of it follows the inode.
    Inline,
}

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// The character device 0:0.
    Whiteout,
    Symlink,
}

impl Kind {
    const fn mode(self) -> u16 {
        match self {
            Self::File => 0o100_000,
            Self::Folder => 0o040_000,
            Self::Whiteout => 0o020_000,
            Self::Symlink => 0o120_000,
        }
    }

    /// What an entry says of it.
    pub(super) const fn in_dirent(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Folder => 2,
            Self::Whiteout => 3,
            Self::Symlink => 7,
        }
    }
}

/// An inode as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) layout: Layout,
    pub(super) attributes: Attributes,
    pub(super) size: u64,
    /// The first of its blocks; 0 without any.
    pub(super) first_block: u32,
    pub(super) links: u32,
    /// A folder that hides what lower layers have of it.
    pub(super) is_opaque: bool,
}

/// Bytes of an inode with its marks.
pub(super) const fn inode_bytes(is_opaque: bool) -> usize {
    if is_opaque { INODE + OPAQUE } else { INODE }
}

/// Where in an inode the number of its names is.
pub(super) const LINKS_AT: u64 = 44;

impl Inode {
    /// The inode and its marks; `number` is what programs with 32 bits see.
    pub(super) fn encode(&self, number: u32) -> Vec<u8> {
        let layout: u16 = match self.layout {
            Layout::Plain => 0,
            Layout::Inline => 2,
        };
        let (extended, marks) = (1, if self.is_opaque { 1 + (OPAQUE as u16 - 12) / 4 } else { 0 });
        let Attributes { permissions, uid, gid, modified } = self.attributes;
        let mut bytes = Vec::with_capacity(inode_bytes(self.is_opaque));
        bytes.extend((layout << 1 | extended).to_le_bytes());
        bytes.extend(marks.to_le_bytes());
        bytes.extend((self.kind.mode() | permissions & 0o7777).to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.size.to_le_bytes());
        // Of a device this is its number.
        bytes.extend(self.first_block.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        bytes.extend(uid.to_le_bytes());
        bytes.extend(gid.to_le_bytes());
        bytes.extend(modified.seconds.to_le_bytes());
        bytes.extend(modified.nanoseconds.to_le_bytes());
        bytes.extend(self.links.to_le_bytes());
        bytes.extend([0; 16]);
        if self.is_opaque {
            opaque_marks(&mut bytes);
        }
        bytes
    }
}

/// Both: which of them counts is said by how the overlay is mounted.
fn opaque_marks(bytes: &mut Vec<u8>) {
    const USER: u8 = 1;
    const TRUSTED: u8 = 4;
    const NAME: &[u8] = b"overlay.opaque";
    bytes.extend([0; 12]);
    for namespace in [USER, TRUSTED] {
        bytes.extend([NAME.len() as u8, namespace, 1, 0]);
        bytes.extend(NAME);
        bytes.extend(b"y\0");
    }
}

/// The superblock, which begins at [`SUPERBLOCK_AT`].
pub(super) fn superblock(blocks: u32, inodes: u64) -> (u64, Vec<u8>) {
    let root = (ROOT_AT / SLOT as u64) as u16;
    let mut bytes = Vec::with_capacity(SUPERBLOCK);
    bytes.extend(MAGIC.to_le_bytes());
    // No checksum: a layer is known by the SHA-256 of all of it.
    bytes.extend([0; 4]);
    bytes.extend(COMPAT_MTIME.to_le_bytes());
    bytes.extend([BLOCK_BITS, 0]);
    bytes.extend(root.to_le_bytes());
    bytes.extend(inodes.to_le_bytes());
    bytes.extend(MADE_AT.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(blocks.to_le_bytes());
    // Where inodes and shared marks are counted from, and the id.
    bytes.extend([0; 8]);
    bytes.extend(UUID.to_be_bytes());
    bytes.resize(SUPERBLOCK, 0);
    (SUPERBLOCK_AT as u64, bytes)
}

/// The number of the block at an offset.
pub(super) fn block_number(offset: u64) -> Result<u32, WriteError> {
    u32::try_from(offset / BLOCK as u64).map_err(|_| WriteError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::{CONVERTED_AT, LAYER_UUID};

    #[test]
    fn every_layer_has_the_same_id_and_date_whoever_made_it() {
        assert_eq!(u128::from_str_radix(&LAYER_UUID.replace('-', ""), 16), Ok(UUID));
        assert_eq!(CONVERTED_AT, MADE_AT);
    }

    #[test]
    fn an_inode_has_the_bytes_that_its_place_was_measured_by() {
        let modified = super::super::Modified { seconds: -1, nanoseconds: 5 };
        let attributes = Attributes { permissions: 0o1755, uid: 70_000, gid: 3, modified };
        for is_opaque in [false, true] {
            let inode = Inode {
                kind: Kind::Folder,
                layout: Layout::Inline,
                attributes,
                size: 27,
                first_block: 9,
                links: 2,
                is_opaque,
            };
            let bytes = inode.encode(7);
            assert_eq!(bytes.len(), inode_bytes(is_opaque));
            assert_eq!(bytes[..2], [5, 0]);
            assert_eq!(bytes[4..6], 0o041_755_u16.to_le_bytes());
            assert_eq!(bytes[44..48], 2_u32.to_le_bytes());
        }
        assert!(ROOT_AT as usize + inode_bytes(true) <= FIRST_FREE);
    }
}
