//! Names and numbers of what is written: all that is kept in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::Attributes;
use super::format::Kind;

/// A folder of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FolderId(u32);

impl FolderId {
    /// The root.
    pub const ROOT: Self = Self(0);
}

/// Something other than a folder that is written already, and may get further names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// Where its inode is.
    pub(super) at: u64,
    pub(super) kind: Kind,
}

impl FileId {
    /// Whether it hides what lower layers have of this name.
    #[must_use]
    pub fn is_whiteout(self) -> bool {
        self.kind == Kind::Whiteout
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Folder(FolderId),
    /// Anything else.
    File(FileId),
}

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) parent: FolderId,
    pub(super) attributes: Attributes,
    pub(super) is_opaque: bool,
    /// Folders in it.
    pub(super) folders: u32,
    /// Something else has taken its name since.
    is_gone: bool,
}

/// One map for all folders: they are many and most are small.
#[derive(Debug)]
pub(super) struct Tree {
    folders: Vec<Folder>,
    /// By folder (four bytes, big endian) and name.
    names: BTreeMap<Box<[u8]>, Entry>,
    /// How many names inodes have that had more than one.
    links: HashMap<u64, u32>,
    /// Inodes that have a name, folders among them.
    inodes: u64,
}

impl Tree {
    pub(super) fn new(root: Attributes) -> Self {
        let mut tree = Self { folders: Vec::new(), names: BTreeMap::new(), links: HashMap::new(), inodes: 0 };
        tree.push_folder(FolderId::ROOT, root);
        tree
    }

    pub(super) fn folder(&self, id: FolderId) -> &Folder {
        &self.folders[id.0 as usize]
    }

    pub(super) fn folder_mut(&mut self, id: FolderId) -> &mut Folder {
        &mut self.folders[id.0 as usize]
    }

    pub(super) fn get(&self, folder: FolderId, name: &[u8]) -> Option<Entry> {
        self.names.get(key(folder, name).as_slice()).copied()
    }

    /// A new folder, which takes the place of what has the name.
    pub(super) fn add_folder(&mut self, parent: FolderId, name: &[u8], attributes: Attributes) -> FolderId {
        self.remove(parent, name);
        let id = self.push_folder(parent, attributes);
        self.folder_mut(parent).folders += 1;
        self.names.insert(key(parent, name).into(), Entry::Folder(id));
        id
    }

    fn push_folder(&mut self, parent: FolderId, attributes: Attributes) -> FolderId {
        let id = FolderId(u32::try_from(self.folders.len()).expect("memory ends before"));
        self.folders.push(Folder { parent, attributes, is_opaque: false, folders: 0, is_gone: false });
        self.inodes += 1;
        id
    }

    /// A new inode, which takes the place of what has the name.
    pub(super) fn add_file(&mut self, parent: FolderId, name: &[u8], file: FileId) {
        self.remove(parent, name);
        self.inodes += 1;
        self.names.insert(key(parent, name).into(), Entry::File(file));
    }

    /// A further name of an inode, which takes the place of what has the name.
    pub(super) fn add_link(&mut self, parent: FolderId, name: &[u8], file: FileId) {
        // First of all: the name that goes may be the only one of the same inode.
        *self.links.entry(file.at).or_insert(1) += 1;
        self.remove(parent, name);
        self.names.insert(key(parent, name).into(), Entry::File(file));
    }

    fn remove(&mut self, parent: FolderId, name: &[u8]) {
        let folder = match self.names.remove(key(parent, name).as_slice()) {
            None => return,
            Some(Entry::File(file)) => return self.forget(file),
            Some(Entry::Folder(folder)) => folder,
        };
        self.folder_mut(parent).folders -= 1;
        let mut waiting = vec![folder];
        while let Some(folder) = waiting.pop() {
            self.folder_mut(folder).is_gone = true;
            self.inodes -= 1;
            let names: Vec<_> = self.names(folder).map(|(name, entry)| (key(folder, name), entry)).collect();
            for (name, entry) in names {
                self.names.remove(name.as_slice());
                match entry {
                    Entry::Folder(inner) => waiting.push(inner),
                    Entry::File(file) => self.forget(file),
                }
            }
        }
    }

    /// A name of an inode has gone.
    fn forget(&mut self, file: FileId) {
        if let Some(names) = self.links.get_mut(&file.at) {
            *names -= 1;
            if *names > 0 {
                return;
            }
        }
        self.inodes -= 1;
    }

    /// Folders that are there, in the order in which they came.
    pub(super) fn folders(&self) -> impl Iterator<Item = (FolderId, &Folder)> {
        let all = self.folders.iter().enumerate();
        all.filter(|(_, folder)| !folder.is_gone).map(|(id, folder)| (FolderId(id as u32), folder))
    }

    /// What is in a folder, in order of name.
    pub(super) fn names(&self, folder: FolderId) -> impl Iterator<Item = (&[u8], Entry)> {
        let of_folder = folder.0.to_be_bytes();
        let from = (Bound::Included(&of_folder[..]), Bound::Unbounded);
        self.names
            .range::<[u8], _>(from)
            .map_while(move |(key, entry)| Some((key.strip_prefix(&of_folder)?, *entry)))
    }

    /// Inodes whose number of names is not the 1 that they were written with.
    pub(super) fn links(&self) -> impl Iterator<Item = (u64, u32)> {
        self.links.iter().filter(|(_, names)| **names > 1).map(|(at, names)| (*at, *names))
    }

    pub(super) fn inodes(&self) -> u64 {
        self.inodes
    }
}

impl FolderId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

fn key(folder: FolderId, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + name.len());
    key.extend(folder.0.to_be_bytes());
    key.extend(name);
    key
}
