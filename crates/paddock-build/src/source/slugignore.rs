//! `.slugignore`: files that are taken out of the source before detection.
//!
//! Rules, from `docs/contract/buildpacks.md` 1.7: one pattern a line, `#` comments, blank lines skipped, globs as in
//! `.gitignore` but no negation. A pattern with no slash matches at any depth; one with a leading or inner slash is
//! anchored at the root; a trailing slash matches folders only; a folder that matches goes with what is in it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::text::unmarked;

/// The name of the file, at the root.
pub const FILE_NAME: &str = ".slugignore";
/// The largest one, in bytes: every pattern is tried on every file.
pub const BYTES_MAX: u64 = 64 * 1024;
/// The most patterns of one.
pub const PATTERNS_MAX: usize = 2_000;

/// The part of a pattern that matches any number of folders.
const ANY_FOLDERS: &[u8] = b"**";

/// The patterns of a `.slugignore`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slugignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// The parts between slashes; a part `**` matches any number of folders.
    parts: Vec<Vec<u8>>,
    folders_only: bool,
}

impl Slugignore {
    /// Reads the patterns. Never fails: a line that is not a pattern is skipped.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let text = unmarked(text);
        Self { patterns: text.split(|byte| *byte == b'\n').filter_map(Pattern::parse).collect() }
    }

    /// How many patterns there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.patterns.len()
    }

    /// Whether a file or folder goes. `path` has its parts from the root on.
    #[must_use]
    pub fn matches(&self, path: &[&[u8]], is_folder: bool) -> bool {
        // The file with the patterns itself stays.
        path != [FILE_NAME.as_bytes()]
            && self
                .patterns
                .iter()
                .any(|pattern| (is_folder || !pattern.folders_only) && matches_parts(&pattern.parts, path))
    }

    /// Deletes what matches below `root` and returns how many files that were. Links are deleted, never followed,
    /// and nothing outside `root` is ever named.
    pub fn apply(&self, root: &Path) -> io::Result<u64> {
        let mut deleted = 0;
        if !self.patterns.is_empty() {
            self.visit(root, &mut Vec::new(), &mut deleted)?;
        }
        Ok(deleted)
    }

    fn visit(&self, root: &Path, path: &mut Vec<Vec<u8>>, deleted: &mut u64) -> io::Result<()> {
        for entry in fs::read_dir(on_disk(root, path))? {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            path.push(entry.file_name().into_vec());
            let parts: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            if self.matches(&parts, is_folder) {
                *deleted += delete(&entry.path(), is_folder)?;
            } else if is_folder {
                self.visit(root, path, deleted)?;
            }
            path.pop();
        }
        Ok(())
    }
}

/// A star after a star adds nothing, where neither is escaped or in a class.
fn without_doubled_stars(part: &[u8]) -> Vec<u8> {
    let mut kept = part.to_owned();
    if kept.iter().any(|byte| matches!(byte, b'\\' | b'[')) {
        return kept;
    }
    kept.dedup_by(|next, byte| *next == b'*' && *byte == b'*');
    kept
}

fn on_disk(root: &Path, path: &[Vec<u8>]) -> PathBuf {
    path.iter().fold(root.to_owned(), |folder, part| folder.join(OsStr::from_bytes(part)))
}

/// Deletes a file or a folder with its content; returns how many files.
fn delete(path: &Path, is_folder: bool) -> io::Result<u64> {
    if !is_folder {
        return fs::remove_file(path).map(|()| 1);
    }
    let mut deleted = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        deleted += delete(&entry.path(), entry.file_type()?.is_dir())?;
    }
    fs::remove_dir(path).map(|()| deleted)
}

impl Pattern {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            return None;
        }
        let folders_only = line.ends_with(b"/");
        let line = line.strip_suffix(b"/").unwrap_or(line);
        let anchored = line.contains(&b'/');
        let mut parts: Vec<Vec<u8>> = line
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".")
            .map(|part| if part == ANY_FOLDERS { part.to_owned() } else { without_doubled_stars(part) })
            .collect();
        // One after the other they match what one does.
        parts.dedup_by(|next, part| next == ANY_FOLDERS && part == ANY_FOLDERS);
        // A pattern that climbs out of the tree matches nothing in it.
        if parts.is_empty() || parts.iter().any(|part| part == b"..") {
            return None;
        }
        if !anchored {
            parts.insert(0, b"**".to_vec());
        }
        Some(Self { parts, folders_only })
    }
}

/// Takes time in proportion to both lengths, as [`matches_glob`]: on a mismatch only the latest `**` takes one folder
/// more.
fn matches_parts(pattern: &[Vec<u8>], path: &[&[u8]]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut latest = None;
    while from < path.len() {
        match pattern.get(at) {
            // `a/**` matches what is in `a`, not `a`.
            Some(part) if part == ANY_FOLDERS && at + 1 == pattern.len() => return true,
            Some(part) if part == ANY_FOLDERS => {
                latest = Some((at, from));
                at += 1;
                continue;
            }
            Some(part) if matches_glob(part, path[from]) => {
                at += 1;
                from += 1;
                continue;
            }
            _ => {}
        }
        let Some((stars, taken)) = latest else { return false };
        latest = Some((stars, taken + 1));
        (at, from) = (stars + 1, taken + 1);
    }
    at == pattern.len()
}

/// `*` any run, `?` one byte, `[a-z]` and `[!a-z]` classes, `\` before a byte that means itself. Takes time in
/// proportion to both lengths: on a mismatch only the latest `*` takes one byte more.
fn matches_glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut latest_star = None;
    while from < name.len() {
        if pattern.get(at) == Some(&b'*') {
            latest_star = Some((at, from));
            at += 1;
        } else if let Some(next) = one_byte(&pattern[at..], name[from]) {
            at += next;
            from += 1;
        } else if let Some((star, taken)) = latest_star {
            latest_star = Some((star, taken + 1));
            (at, from) = (star + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// How many bytes of the pattern match this one byte, if they do.
fn one_byte(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', rest @ ..] => match class(rest, byte) {
            Some((true, length)) => Some(length + 1),
            Some((false, _)) => None,
            // Without an end it is an ordinary bracket.
            None => (byte == b'[').then_some(1),
        },
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// Whether a byte is in the class that begins behind `[`, and the length of the class with its `]`.
fn class(class: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(class.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    // A bracket right at the start belongs to the class.
    let end = start + 1 + class.get(start + 1..)?.iter().position(|byte| *byte == b']')?;
    let mut members = &class[start..end];
    let mut found = false;
    while let Some((first, rest)) = members.split_first() {
        match rest {
            [b'-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&byte);
                members = rest;
            }
            _ => {
                found |= *first == byte;
                members = rest;
            }
        }
    }
    Some((found != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(patterns: &str, path: &str, is_folder: bool) -> bool {
        let parts: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        Slugignore::parse(patterns.as_bytes()).matches(&parts, is_folder)
    }

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, path, expected) in [
            ("*.psd", "a.psd", true),
            ("*.psd", "deep/er/a.psd", true),
            ("*.psd", "a.psd.txt", false),
            ("/*.psd", "deep/a.psd", false),
            ("/*.psd", "a.psd", true),
            ("spec", "spec", true),
            ("spec", "lib/spec", true),
            ("doc/*.txt", "doc/a.txt", true),
            ("doc/*.txt", "x/doc/a.txt", false),
            ("doc/**/b", "doc/b", true),
            ("doc/**/b", "doc/x/y/b", true),
            ("doc/**", "doc", false),
            ("doc/**", "doc/x/y", true),
            ("**/b", "x/b", true),
            ("a?c", "abc", true),
            ("a[b-d]c", "acc", true),
            ("a[!b-d]c", "acc", false),
            ("a[]]c", "a]c", true),
            ("a[bc", "a[bc", true),
            ("\\#x", "#x", true),
            ("# x", "# x", false),
            ("!x", "x", false),
            ("../x", "x", false),
            ("x\r", "x", true),
            ("*", ".slugignore", false),
        ] {
            assert_eq!(matches(pattern, path, false), expected, "{pattern} on {path}");
        }
        assert!(matches("spec/", "spec", true));
        assert!(!matches("spec/", "spec", false));
    }

    #[test]
    fn deleting_counts_files_and_never_leaves_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        let root = folder.path().join("root");
        for path in
            ["outside/keep", "root/docs/a", "root/docs/deep/b", "root/keep", "root/x.log", "root/lib/y.log"]
        {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        std::os::unix::fs::symlink(&outside, root.join("out.log")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("linked")).unwrap();
        let ignore = Slugignore::parse(b"docs\n*.log\nlinked/keep\n../outside\n/../outside/keep\n");
        assert_eq!(ignore.apply(&root).unwrap(), 5);
        assert!(outside.join("keep").exists() && root.join("keep").exists() && root.join("linked").exists());
        assert!(!root.join("docs").exists() && !root.join("out.log").exists());
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_a_star(name in "[a-z.]{1,20}") {
            prop_assert!(matches_glob(name.as_bytes(), name.as_bytes()));
            prop_assert!(matches_glob(b"*", name.as_bytes()));
            let longer = name + "x";
            prop_assert!(!matches_glob(b"?", longer.as_bytes()));
        }

        #[test]
        fn no_pattern_panics_or_hangs(pattern in proptest::collection::vec(any::<u8>(), 0..60),
                                      name in proptest::collection::vec(any::<u8>(), 1..60)) {
            let _ = Slugignore::parse(&pattern).matches(&[&name, &name], false);
        }
    }

    #[test]
    fn many_folders_of_any_depth_are_no_trap() {
        let deep: Vec<&[u8]> = vec![b"d"; 64];
        let hostile =
            Slugignore::parse(("**/d/".repeat(2000) + "x\n" + &"**/".repeat(2000) + "x\n").as_bytes());
        assert_eq!(hostile.count(), 2);
        assert!(!hostile.matches(&deep, false));
        assert!(matches("a/**/b/**/c", "a/x/b/y/b/z/c", false));
        assert!(!matches("a/**/b/**/c", "a/x/b/y/b/z/d", false));
        assert!(
            matches("**/**/b", "b", false)
                && matches("a\\**", "a*x", false)
                && !matches("a\\**", "ab", false)
        );
    }

    #[test]
    fn many_stars_are_no_trap() {
        let pattern = "*a".repeat(40) + "b";
        assert!(!matches_glob(pattern.as_bytes(), "a".repeat(10_000).as_bytes()));
    }
}
