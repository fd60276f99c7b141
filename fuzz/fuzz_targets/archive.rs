//! An archive that is accepted stays in its folder, whoever unpacks it: what the tar crate reads of it, extensions
//! carried out, is played on a model of a folder.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use paddock_images::{ArchiveLimits, check_source_archive};
use tar::EntryType;

const LIMITS: ArchiveLimits = ArchiveLimits { entries: 100, bytes: 1 << 20, path_bytes: 300, path_depth: 12 };
const BLOCK: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    let _ = check_source_archive(bytes, &LIMITS);
    let bytes = with_checksums(bytes);
    let Ok(summary) = check_source_archive(&bytes[..], &LIMITS) else { return };
    assert!(summary.entries <= LIMITS.entries && summary.bytes <= LIMITS.bytes);
    if !summary.is_gzip {
        let folder = unpack(&bytes);
        assert_eq!(folder.entries, summary.entries, "two readers see the same archive");
        if let Some(top) = &summary.top_folder {
            assert!(!top.contains(&b'/') && !top.is_empty() && top != b"..");
            assert!(folder.kinds.keys().all(|path| path.split(|byte| *byte == b'/').next() == Some(top)));
        }
    }
});

#[derive(PartialEq)]
enum Kind {
    File,
    Folder,
    Link,
}

#[derive(Default)]
struct Folder {
    kinds: BTreeMap<Vec<u8>, Kind>,
    entries: u64,
}

fn unpack(bytes: &[u8]) -> Folder {
    let mut folder = Folder::default();
    for entry in tar::Archive::new(bytes).entries().expect("it was read before") {
        let entry = entry.expect("it was read before");
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::Link => Kind::File,
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::Link,
            EntryType::XGlobalHeader => continue,
            other => panic!("{other:?} was accepted"),
        };
        folder.entries += 1;
        let path = folder.place(&entry.path_bytes());
        if entry.header().entry_type() == EntryType::Link {
            let target = folder.place(&entry.link_name_bytes().expect("a hard link has a target"));
            assert!(folder.kinds.get(&target) == Some(&Kind::File), "a hard link to a file of the archive");
        }
        if path.is_empty() {
            assert!(kind == Kind::Folder);
            continue;
        }
        assert!(folder.kinds.get(&path) != Some(&Kind::Link) || kind == Kind::Link, "through a link");
        folder.kinds.insert(path, kind);
    }
    folder
}

impl Folder {
    /// The path with its plain components alone, none of them out of the folder or through a link.
    fn place(&self, path: &[u8]) -> Vec<u8> {
        assert!(!path.is_empty() && path.len() <= LIMITS.path_bytes && path[0] != b'/' && !path.contains(&0));
        let parts: Vec<&[u8]> =
            path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
        assert!(parts.len() <= LIMITS.path_depth && parts.iter().all(|part| *part != b".."));
        for end in 1..parts.len() {
            assert!(self.kinds.get(&parts[..end].join(&b'/')) != Some(&Kind::Link), "through a link");
        }
        parts.join(&b'/')
    }
}

/// The same archive with the checksum that each header should have, which no mutation would find.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(header) =
        bytes.get_mut(at..at + BLOCK).filter(|header| header.iter().any(|byte| *byte != 0))
    {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = tar::Header::from_byte_slice(header).entry_size().unwrap_or(0);
        let blocks = usize::try_from(size.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX);
        let Some(next) = blocks.checked_mul(BLOCK).and_then(|size| (at + BLOCK).checked_add(size)) else {
            break;
        };
        at = next;
    }
    bytes
}
