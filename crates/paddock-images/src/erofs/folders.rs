//! Folders on disk: entries in order of name, in blocks that each begin with their numbers and end with their names.

use super::format::{self, BLOCK, DIRENT, Inode, Kind, Layout, ROOT_AT, SLOT, inode_bytes};
use super::{Entry, FolderId, WriteError, Writer};

/// A folder's inode number, by the folder.
type Numbers = Vec<Option<Place>>;

/// Where a folder is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its inode.
    at: u64,
    layout: Layout,
    size: u64,
    /// Its blocks, as far as they are its own.
    blocks_at: u64,
}

/// Writes all folders. Each names others, so each has its place before the first is written.
pub(super) fn write(image: &mut Writer) -> Result<(), WriteError> {
    let ids: Vec<FolderId> = image.tree.folders().map(|(id, _)| id).collect();
    let mut places: Numbers = Vec::new();
    for id in &ids {
        places.resize(id.index() + 1, None);
        places[id.index()] = Some(place(image, *id)?);
    }
    for id in &ids {
        write_folder(image, *id, &places)?;
    }
    Ok(())
}

fn place(image: &mut Writer, id: FolderId) -> Result<Place, WriteError> {
    let (mut size, mut used) = (0, 0);
    for (name, _) in entries(image, id) {
        let bytes = DIRENT + name.len();
        if used + bytes > BLOCK {
            size += BLOCK as u64;
            used = 0;
        }
        used += bytes;
    }
    let inode = inode_bytes(image.tree.folder(id).is_opaque);
    size += used as u64;
    // The root's inode has no room behind it.
    let is_inline = used < BLOCK && inode + used <= BLOCK && id != FolderId::ROOT;
    let blocks = if is_inline { size / BLOCK as u64 } else { size.div_ceil(BLOCK as u64) };
    let blocks_at = if blocks > 0 { image.space.append_empty(blocks)? } else { 0 };
    let (at, layout) = match (id, is_inline) {
        (FolderId::ROOT, _) => (ROOT_AT, Layout::Plain),
        (_, true) => (image.space.reserve(inode + used)?, Layout::Inline),
        (_, false) => (image.space.reserve(inode)?, Layout::Plain),
    };
    Ok(Place { at, layout, size, blocks_at })
}

fn write_folder(image: &mut Writer, id: FolderId, places: &Numbers) -> Result<(), WriteError> {
    let number = |entry: Entry| match entry {
        Entry::File(file) => file.at / SLOT as u64,
        Entry::Folder(folder) => places[folder.index()].map_or(0, |place| place.at / SLOT as u64),
    };
    let Some(place) = places[id.index()] else { return Ok(()) };
    let mut content = Vec::with_capacity(place.size as usize);
    let mut block = Block::default();
    for (name, entry) in entries(image, id) {
        if !block.has_room(name) {
            block.finish(&mut content);
            content.resize(content.len().next_multiple_of(BLOCK), 0);
        }
        let kind = match entry {
            Entry::Folder(_) => Kind::Folder,
            Entry::File(file) => file.kind,
        };
        block.push(number(entry), kind, name);
    }
    block.finish(&mut content);
    let folder = image.tree.folder(id);
    let inode = Inode {
        kind: Kind::Folder,
        layout: place.layout,
        attributes: folder.attributes,
        size: place.size,
        first_block: format::block_number(place.blocks_at)?,
        // Its name, its `.`, and the `..` of each folder in it.
        links: folder.folders.saturating_add(2),
        is_opaque: folder.is_opaque,
    };
    let mut bytes = image.encode(&inode);
    let in_blocks = match place.layout {
        Layout::Plain => content.len(),
        Layout::Inline => content.len() - content.len() % BLOCK,
    };
    bytes.extend(&content[in_blocks..]);
    image.space.put(place.at, &bytes)?;
    match in_blocks {
        0 => Ok(()),
        _ => image.space.put(place.blocks_at, &content[..in_blocks]),
    }
}

/// What is in a folder, itself and its parent among it, in order of name.
fn entries(image: &Writer, id: FolderId) -> Vec<(&[u8], Entry)> {
    let parent = image.tree.folder(id).parent;
    let mut entries: Vec<(&[u8], Entry)> = image.tree.names(id).collect();
    for (name, folder) in [(&b"."[..], id), (b"..", parent)] {
        let place = entries.partition_point(|(other, _)| *other < name);
        entries.insert(place, (name, Entry::Folder(folder)));
    }
    entries
}

/// Entries of one block.
#[derive(Default)]
struct Block<'a> {
    entries: Vec<(u64, Kind, &'a [u8])>,
    bytes: usize,
}

impl<'a> Block<'a> {
    fn has_room(&self, name: &[u8]) -> bool {
        self.bytes + DIRENT + name.len() <= BLOCK
    }

    fn push(&mut self, number: u64, kind: Kind, name: &'a [u8]) {
        self.entries.push((number, kind, name));
        self.bytes += DIRENT + name.len();
    }

    fn finish(&mut self, content: &mut Vec<u8>) {
        let mut name_at = (self.entries.len() * DIRENT) as u16;
        for (number, kind, name) in &self.entries {
            content.extend(number.to_le_bytes());
            content.extend(name_at.to_le_bytes());
            content.extend([kind.in_dirent(), 0]);
            name_at += name.len() as u16;
        }
        for (_, _, name) in self.entries.drain(..) {
            content.extend(name);
        }
        self.bytes = 0;
    }
}
