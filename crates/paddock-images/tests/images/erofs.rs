//! The EROFS writer, compared with a model by what the kernel reads of its images. Needs root, and fsck.erofs.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use paddock_images::erofs::{Attributes, Entry, FolderId, Modified, WriteError, Writer};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult};
use tempfile::NamedTempFile;

use crate::mounted::{Content, Mounted, Seen, check, digest, path, paths, seen};

const AT: Attributes = Attributes {
    permissions: 0o640,
    uid: 12,
    gid: 345,
    modified: Modified { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
};

/// Bytes that differ with the seed and do not repeat in blocks.
struct Pattern {
    block: Vec<u8>,
    at: usize,
}

impl Pattern {
    fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        Self { block: (0..10_007).map(|_| next()).collect(), at: 0 }
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let some = buffer.len().min(self.block.len() - self.at);
        buffer[..some].copy_from_slice(&self.block[self.at..self.at + some]);
        self.at = (self.at + some) % self.block.len();
        Ok(some)
    }
}

/// An image, and what a mount of it ought to show.
struct Both {
    file: NamedTempFile,
    writer: Writer,
    model: BTreeMap<Vec<u8>, Known>,
    inodes: u32,
}

#[derive(Clone)]
struct Known {
    content: Content,
    attributes: Attributes,
    is_opaque: bool,
    inode: u32,
}

impl Both {
    fn new() -> Self {
        let file = NamedTempFile::new().unwrap();
        let writer = Writer::new(file.reopen().unwrap()).unwrap();
        let attributes = Attributes { permissions: 0o755, ..Attributes::default() };
        let root = Known { content: Content::Folder, attributes, is_opaque: false, inode: 0 };
        Self { file, writer, model: [(Vec::new(), root)].into(), inodes: 0 }
    }

    /// The folder of a path, which is there, and the name in it.
    fn place(&self, path: &[u8]) -> (FolderId, Vec<u8>) {
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        (self.folder_of(parent), name.to_vec())
    }

    fn folder_of(&self, path: &[u8]) -> FolderId {
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).fold(
            FolderId::ROOT,
            |folder, name| match self.writer.get(folder, name) {
                Some(Entry::Folder(inner)) => inner,
                other => panic!("{path:?}: {other:?}"),
            },
        )
    }

    fn know(&mut self, path: &[u8], content: Content, attributes: Attributes) {
        self.inodes += 1;
        let known = Known { content, attributes, is_opaque: false, inode: self.inodes };
        self.replace(path, known);
    }

    fn replace(&mut self, path: &[u8], known: Known) {
        let below = [path, b"/"].concat();
        self.model.retain(|other, _| other != path && !other.starts_with(&below));
        self.model.insert(path.to_vec(), known);
    }

    fn folder(&mut self, path: &str, attributes: Attributes) {
        let (parent, name) = self.place(path.as_bytes());
        self.writer.add_folder(parent, &name, attributes).unwrap();
        self.know(path.as_bytes(), Content::Folder, attributes);
    }

    fn opaque(&mut self, path: &str) {
        let folder = self.folder_of(path.as_bytes());
        self.writer.set_opaque(folder);
        self.model.get_mut(path.as_bytes()).unwrap().is_opaque = true;
    }

    fn file(&mut self, path: &[u8], size: u64, attributes: Attributes) {
        let (parent, name) = self.place(path);
        let seed = size ^ path.len() as u64;
        self.writer.add_file(parent, &name, attributes, size, &mut Pattern::new(seed)).unwrap();
        let (size, sha256) = digest(&mut Pattern::new(seed).take(size));
        self.know(path, Content::File { size, sha256 }, attributes);
    }

    fn symlink(&mut self, path: &str, target: &str) {
        let (parent, name) = self.place(path.as_bytes());
        let attributes = Attributes { permissions: 0o777, ..AT };
        self.writer.add_symlink(parent, &name, attributes, target.as_bytes()).unwrap();
        self.know(path.as_bytes(), Content::Symlink(target.into()), attributes);
    }

    fn whiteout(&mut self, path: &str) {
        let (parent, name) = self.place(path.as_bytes());
        self.writer.add_whiteout(parent, &name).unwrap();
        self.know(path.as_bytes(), Content::Whiteout, Attributes::default());
    }

    fn link(&mut self, path: &str, target: &str) {
        let (folder, name) = self.place(target.as_bytes());
        let Some(Entry::File(file)) = self.writer.get(folder, &name) else { panic!("{target} is no file") };
        let (parent, name) = self.place(path.as_bytes());
        self.writer.add_link(parent, &name, file).unwrap();
        let known = self.model[target.as_bytes()].clone();
        self.replace(path.as_bytes(), known);
    }

    fn finish(self) -> (NamedTempFile, BTreeMap<PathBuf, Seen>) {
        let bytes = self.writer.finish().unwrap();
        assert_eq!(self.file.as_file().metadata().unwrap().len(), bytes);
        let wanted = self.model.iter().map(|(name, known)| {
            let same = self.model.iter().filter(|(_, other)| other.inode == known.inode);
            let names: Vec<_> = same.map(|(name, _)| name).collect();
            let links = match known.content {
                Content::Folder => 2 + folders_in(&self.model, name),
                _ => names.len() as u64,
            };
            let Attributes { permissions, uid, gid, modified } = known.attributes;
            let seen = Seen {
                content: known.content.clone(),
                permissions: permissions.into(),
                owner: (uid, gid),
                modified: (modified.seconds, modified.nanoseconds.into()),
                links,
                // As paths are ordered, which differs from the order of their bytes.
                first_name: names.iter().map(|name| path(name)).min().unwrap(),
                is_opaque: known.is_opaque,
            };
            (path(name), seen)
        });
        let wanted = wanted.collect();
        (self.file, wanted)
    }

    fn compare(self) {
        let (file, wanted) = self.finish();
        check(file.path());
        let got = seen(Mounted::new(file.path()).path());
        for (path, wanted) in &wanted {
            assert_eq!(got.get(path), Some(wanted), "{path:?}");
        }
        assert_eq!(got.len(), wanted.len());
    }
}

fn folders_in(model: &BTreeMap<Vec<u8>, Known>, folder: &[u8]) -> u64 {
    let is_in = |path: &[u8]| {
        let rest = path.strip_prefix(folder).and_then(|rest| match folder {
            [] => Some(rest),
            _ => rest.strip_prefix(b"/"),
        });
        rest.is_some_and(|name| !name.is_empty() && !name.contains(&b'/'))
    };
    model.iter().filter(|(path, known)| known.content == Content::Folder && is_in(path)).count() as u64
}

#[test]
fn the_kernel_reads_what_was_written() {
    if !crate::root::may_run("the_kernel_reads_what_was_written") {
        return;
    }
    let mut both = Both::new();
    both.folder("dir", Attributes { permissions: 0o1777, ..AT });
    both.folder("dir/inner", AT);
    both.folder("empty dir", AT);
    both.folder("!before the dots", AT);
    for modified in [(0, 0), (-5, 999_999_999), (1 << 40, 1)] {
        let modified = Modified { seconds: modified.0, nanoseconds: modified.1 };
        let attributes = Attributes { permissions: 0o4751, uid: 4_000_000_000, gid: 65_536, modified };
        both.file(format!("dir/at {}", modified.seconds).as_bytes(), 10, attributes);
    }
    both.file(b"latin-\xe9\xff\n", 3, AT);
    both.file("n".repeat(255).as_bytes(), 1, AT);
    both.symlink("link", "dir/inner");
    both.symlink("dir/dangling", "/none/../ of these");
    for length in [1, 4031, 4032, 4033, 4095] {
        both.symlink(&format!("link of {length}"), &"t".repeat(length));
    }
    both.whiteout("gone");
    both.opaque("dir");
    both.opaque("");
    both.link("dir/inner/other", "dir/at 0");
    both.link("third", "dir/inner/other");
    both.link("link's other name", "link");
    both.compare();
}

#[test]
fn files_of_every_size_are_whole() {
    if !crate::root::may_run("files_of_every_size_are_whole") {
        return;
    }
    let mut both = Both::new();
    for size in [0, 1, 31, 32, 33, 4031, 4032, 4033, 4064, 4095, 4096, 4097, 8191, 8192, 8193, 1 << 20] {
        for further in [0, 2_000_000] {
            both.file(format!("{}", size + further).as_bytes(), size + further, AT);
        }
    }
    both.file(b"large", 300_000_123, AT);
    both.file(b"after", 5, AT);
    both.compare();
}

#[test]
fn folders_of_every_size_are_whole() {
    if !crate::root::may_run("folders_of_every_size_are_whole") {
        return;
    }
    let mut both = Both::new();
    // Long names make a block of few entries: around its end, and that of the inode's own block.
    for files in 12..34 {
        both.folder(&format!("{files}"), AT);
        for file in 0..files {
            let name = format!("{files}/{file:a>width$}", width = 250 - 4 * (files % 3));
            both.file(name.as_bytes(), 0, AT);
        }
    }
    // Entries that fill a block to its last byte: after the two dots 4,069 bytes, of which the last has the rest.
    both.folder("full", AT);
    for file in 0..15 {
        both.file(format!("full/{file:02}{}", "f".repeat(240)).as_bytes(), 0, AT);
    }
    both.file(format!("full/{}", "z".repeat(4096 - 13 - 14 - 15 * 254 - 12)).as_bytes(), 0, AT);
    both.compare();
}

#[test]
fn a_folder_of_fifty_thousand_files_is_read_by_name() {
    if !crate::root::may_run("a_folder_of_fifty_thousand_files_is_read_by_name") {
        return;
    }
    const FILES: usize = 50_000;
    let file = NamedTempFile::new().unwrap();
    let mut writer = Writer::new(file.reopen().unwrap()).unwrap();
    let many = writer.add_folder(FolderId::ROOT, b"many", AT).unwrap();
    for number in 0..FILES {
        // In no order.
        let number = number * 7919 % FILES;
        let content = format!("content of {number}");
        let name = format!("file {number}");
        writer.add_file(many, name.as_bytes(), AT, content.len() as u64, &mut content.as_bytes()).unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert!(bytes < 8 << 20, "{bytes} bytes: files of 20 bytes share blocks");
    check(file.path());
    let mounted = Mounted::new(file.path());
    let many = mounted.path().join("many");
    assert_eq!(std::fs::read_dir(&many).unwrap().count(), FILES);
    for number in 0..FILES {
        let content = std::fs::read_to_string(many.join(format!("file {number}"))).unwrap();
        assert_eq!(content, format!("content of {number}"));
        assert!(!many.join(format!("file {number}.")).exists());
    }
}

#[test]
fn small_files_waste_little() {
    let file = NamedTempFile::new().unwrap();
    let mut writer = Writer::new(file.reopen().unwrap()).unwrap();
    let mut content = 0;
    for number in 0..2_000_u64 {
        let size = number * 7919 % 4000;
        content += size;
        let name = number.to_string();
        writer.add_file(FolderId::ROOT, name.as_bytes(), AT, size, &mut Pattern::new(number)).unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert!(bytes * 10 < content * 12, "{bytes} bytes for {content}");
}

#[test]
fn later_entries_take_the_place_of_earlier_ones() {
    if !crate::root::may_run("later_entries_take_the_place_of_earlier_ones") {
        return;
    }
    let mut both = Both::new();
    both.folder("a", AT);
    both.folder("a/b", AT);
    both.file(b"a/b/c", 10, AT);
    both.link("kept", "a/b/c");
    both.file(b"a", 20, AT);
    both.file(b"f", 1, AT);
    both.folder("f", AT);
    both.file(b"f/in", 2, AT);
    both.folder("f/x", AT);
    both.whiteout("f/x");
    both.link("kept", "kept");
    both.file(b"one", 5000, AT);
    both.link("two", "one");
    both.link("three", "one");
    both.file(b"one", 6000, AT);
    both.symlink("three", "two");
    both.folder("again", AT);
    both.file(b"again/old", 1, AT);
    both.folder("again", Attributes::default());
    both.compare();
}

#[test]
fn equal_entries_give_equal_bytes() {
    let image = |size: u64| {
        let mut both = Both::new();
        both.folder("d", AT);
        for number in 0..300 {
            both.file(format!("d/{number}").as_bytes(), number * 97 % size, AT);
        }
        both.link("l", "d/7");
        both.link("m", "d/8");
        std::fs::read(both.finish().0.path()).unwrap()
    };
    let (one, other) = (image(5000), image(5000));
    assert!(one == other);
    assert!(one != image(5001));
}

#[test]
fn what_no_folder_can_have_is_refused() {
    let mut writer = Writer::new(tempfile::tempfile().unwrap()).unwrap();
    let long = [b'n'; 256];
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0", &long] {
        let refused = [
            writer.add_folder(FolderId::ROOT, name, AT).map(drop),
            writer.add_file(FolderId::ROOT, name, AT, 0, &mut io::empty()),
            writer.add_symlink(FolderId::ROOT, name, AT, b"t"),
            writer.add_whiteout(FolderId::ROOT, name),
        ];
        assert!(refused.iter().all(|refused| matches!(refused, Err(WriteError::Name(_)))), "{name:?}");
    }
    for target in [&b""[..], b"a\0", &[b't'; 4096]] {
        let refused = writer.add_symlink(FolderId::ROOT, b"l", AT, target);
        assert!(matches!(refused, Err(WriteError::Name(_))), "{refused:?}");
    }
    assert_eq!(writer.get(FolderId::ROOT, b"l"), None);
}

#[test]
fn content_that_ends_early_is_an_error() {
    for size in [10, 4096, 5000, 4095] {
        let mut writer = Writer::new(tempfile::tempfile().unwrap()).unwrap();
        let refused = writer.add_file(FolderId::ROOT, b"f", AT, size, &mut &[1; 9][..]);
        assert!(matches!(refused, Err(WriteError::Content(_))), "{refused:?}");
    }
}

#[test]
fn whiteouts_and_opaque_folders_hide_what_is_below_in_both_kinds_of_overlay() {
    if !crate::root::may_run("whiteouts_and_opaque_folders_hide_what_is_below_in_both_kinds_of_overlay") {
        return;
    }
    let mut lower = Both::new();
    for folder in ["kept", "opaque", "gone"] {
        lower.folder(folder, AT);
        lower.file(format!("{folder}/lower").as_bytes(), 1, AT);
    }
    lower.file(b"gone file", 1, AT);
    let mut upper = Both::new();
    for folder in ["kept", "opaque"] {
        upper.folder(folder, AT);
        upper.file(format!("{folder}/upper").as_bytes(), 1, AT);
    }
    upper.opaque("opaque");
    upper.whiteout("gone");
    upper.whiteout("gone file");
    let (lower, upper) = (lower.finish().0, upper.finish().0);
    let (lower, upper) = (Mounted::new(lower.path()), Mounted::new(upper.path()));
    for options in ["", "userxattr,"] {
        let merged = Mounted::overlay(&[&upper, &lower], options);
        let wanted = ["", "kept", "kept/lower", "kept/upper", "opaque", "opaque/upper"];
        assert_eq!(paths(merged.path()), wanted.map(PathBuf::from), "{options}");
    }
}

/// Something that is done to a tree; what cannot be done is left out.
#[derive(Debug, Clone)]
enum Step {
    Folder(Vec<u8>, Attributes),
    Opaque(Vec<u8>),
    File(Vec<u8>, u64, Attributes),
    Symlink(Vec<u8>, String),
    Whiteout(Vec<u8>),
    Link(Vec<u8>, Vec<u8>),
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let modified = (any::<i32>(), 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanoseconds)| Modified { seconds: seconds.into(), nanoseconds });
    (0..0o10_000_u16, any::<u32>(), any::<u32>(), modified).prop_map(|(permissions, uid, gid, modified)| {
        // The largest id is no id.
        Attributes { permissions, uid: uid.min(u32::MAX - 1), gid: gid.min(u32::MAX - 1), modified }
    })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let long = "[a-c]{200,255}".prop_map(String::into_bytes);
    let odd = proptest::collection::vec(any::<u8>(), 1..4);
    let proper =
        |name: &Vec<u8>| !name.iter().any(|byte| matches!(byte, 0 | b'/')) && *name != b"." && *name != b"..";
    prop_oneof![4 => "[a-d]".prop_map(String::into_bytes), 1 => long, 1 => odd].prop_filter("no name", proper)
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(name(), 1..4).prop_map(|names| names.join(&b'/'))
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![Just(0), 1..200_u64, 3900..4300_u64, 0..40_000_u64];
    prop_oneof![
        3 => (names(), attributes()).prop_map(|(path, attributes)| Step::Folder(path, attributes)),
        1 => names().prop_map(Step::Opaque),
        5 => (names(), size, attributes()).prop_map(|(path, size, at)| Step::File(path, size, at)),
        1 => (names(), "[a-z/.]{1,300}").prop_map(|(path, target)| Step::Symlink(path, target)),
        1 => names().prop_map(Step::Whiteout),
        2 => (names(), names()).prop_map(|(path, target)| Step::Link(path, target)),
    ]
}

fn take(both: &mut Both, step: Step) {
    let has_parent = |both: &Both, path: &[u8]| {
        let parent = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &path[..slash]);
        both.model.get(parent).is_some_and(|known| known.content == Content::Folder)
    };
    let (Step::Folder(path, _) | Step::Opaque(path) | Step::File(path, ..)) = &step else {
        return take_other(both, step, has_parent);
    };
    if !has_parent(both, path) {
        return;
    }
    let (parent, name) = both.place(path);
    match step {
        Step::Folder(path, attributes) => match both.writer.get(parent, &name) {
            Some(Entry::Folder(folder)) => {
                both.writer.set_attributes(folder, attributes);
                both.model.get_mut(&path).unwrap().attributes = attributes;
            }
            _ => {
                both.writer.add_folder(parent, &name, attributes).unwrap();
                both.know(&path, Content::Folder, attributes);
            }
        },
        Step::Opaque(path) => {
            if let Some(Entry::Folder(folder)) = both.writer.get(parent, &name) {
                both.writer.set_opaque(folder);
                both.model.get_mut(&path).unwrap().is_opaque = true;
            }
        }
        Step::File(path, size, attributes) => both.file(&path, size, attributes),
        _ => {}
    }
}

fn take_other(both: &mut Both, step: Step, has_parent: impl Fn(&Both, &[u8]) -> bool) {
    match step {
        Step::Symlink(path, target) if has_parent(both, &path) => {
            let (parent, name) = both.place(&path);
            both.writer.add_symlink(parent, &name, AT, target.as_bytes()).unwrap();
            both.know(&path, Content::Symlink(target.into()), AT);
        }
        Step::Whiteout(path) if has_parent(both, &path) => {
            let (parent, name) = both.place(&path);
            both.writer.add_whiteout(parent, &name).unwrap();
            both.know(&path, Content::Whiteout, Attributes::default());
        }
        Step::Link(path, target) if has_parent(both, &path) && has_parent(both, &target) => {
            let (folder, name) = both.place(&target);
            let Some(Entry::File(file)) = both.writer.get(folder, &name) else { return };
            let known = both.model[&target].clone();
            let (parent, name) = both.place(&path);
            both.writer.add_link(parent, &name, file).unwrap();
            both.replace(&path, known);
        }
        _ => {}
    }
}

#[test]
fn any_tree_is_read_as_it_was_written() {
    if !crate::root::may_run("any_tree_is_read_as_it_was_written") {
        return;
    }
    let steps = proptest::collection::vec(step(), 0..60);
    proptest!(Config::with_cases(100), |(steps in steps)| {
        let result: TestCaseResult = {
            let mut both = Both::new();
            steps.into_iter().for_each(|step| take(&mut both, step));
            let (file, wanted) = both.finish();
            check(file.path());
            prop_assert_eq!(seen(Mounted::new(file.path()).path()), wanted);
            Ok(())
        };
        result?;
    });
}
