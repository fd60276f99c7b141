//! `.dockerignore`: what of the folder of a Dockerfile is no part of its context.
//!
//! One pattern a line, from the folder's root on, of a file or of a folder with all that is in it; `!` takes back what earlier
//! lines left out, and the last line that matches counts. The Dockerfile itself may be left out: it is read all the same.

use crate::glob::Glob;
use crate::source::text;

/// The longest one, in bytes.
pub const BYTES_MAX: usize = 64 * 1024;
/// The most patterns of one.
pub const PATTERNS_MAX: usize = 1_000;

/// The patterns of a `.dockerignore`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dockerignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    glob: Glob,
    takes_back: bool,
}

impl Dockerignore {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence with the line, without its full stop.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > BYTES_MAX {
            return Err(format!("it may have {} KB, and has more", BYTES_MAX / 1024));
        }
        let mut patterns = Vec::new();
        for (number, line) in text::decode(bytes).lines().enumerate() {
            if let Some(pattern) = Pattern::read(line).map_err(|why| format!("line {}: {why}", number + 1))? {
                patterns.push(pattern);
            }
        }
        if patterns.len() > PATTERNS_MAX {
            return Err(format!("it may have {PATTERNS_MAX} patterns, and has more"));
        }
        Ok(Self { patterns })
    }

    /// Patterns of a `--exclude`, each of which may take back.
    ///
    /// # Errors
    /// As [`Self::read`], without a line.
    pub fn of(patterns: &[String]) -> Result<Self, String> {
        let patterns = patterns.iter().filter_map(|text| Pattern::read(text).transpose());
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Whether this is left out. `path` has names between slashes, from the root of the context on.
    #[must_use]
    pub fn leaves_out(&self, path: &str) -> bool {
        let is_of = |pattern: &&Pattern| {
            let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
            folders.chain([path]).any(|part| pattern.glob.matches(part))
        };
        self.patterns.iter().rev().find(is_of).is_some_and(|pattern| !pattern.takes_back)
    }

    /// Whether something in a folder that is left out may be part of the context all the same.
    #[must_use]
    pub fn takes_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_back)
    }
}

impl Pattern {
    fn read(line: &str) -> Result<Option<Self>, String> {
        if line.starts_with('#') {
            return Ok(None);
        }
        let line = line.trim();
        let (takes_back, text) = match line.strip_prefix('!') {
            Some(text) => (true, text.trim()),
            None => (false, line),
        };
        if text.is_empty() {
            return if takes_back { Err("nothing follows its !".to_owned()) } else { Ok(None) };
        }
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        // The root itself: nothing that it could leave out.
        if parts.is_empty() {
            return Ok(None);
        }
        let glob =
            Glob::parse(&parts.join("/")).map_err(|why| format!("the pattern {text:?} is none: {why}"))?;
        Ok(Some(Self { glob, takes_back }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn left_out<'a>(file: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let ignore = Dockerignore::read(file.as_bytes()).unwrap();
        paths.iter().copied().filter(|path| ignore.leaves_out(path)).collect()
    }

    #[test]
    fn patterns_begin_at_the_root_and_take_whole_folders() {
        let paths = ["a", "a/b", "x/a", "node_modules/x/y", "README.md", "docs/README.md", ".env"];
        assert_eq!(left_out("a\n", &paths), ["a", "a/b"]);
        assert_eq!(left_out("/a/\n", &paths), ["a", "a/b"]);
        assert_eq!(left_out("**/a", &paths), ["a", "a/b", "x/a"]);
        assert_eq!(left_out("# a\n\n  node_modules  \n.e*\r\n", &paths), ["node_modules/x/y", ".env"]);
        assert_eq!(left_out("*/README.md", &paths), ["docs/README.md"]);
        assert_eq!(left_out("**", &paths), paths);
        assert_eq!(left_out(".\n/\n..", &paths), [""; 0]);
        assert_eq!(left_out("../a", &paths), ["a", "a/b"]);
        assert_eq!(left_out("\u{feff}a", &paths), ["a", "a/b"]);
    }

    #[test]
    fn the_last_line_that_matches_counts() {
        let paths = ["README.md", "README-secret.md", "other.md", "dir/keep", "dir/x"];
        assert_eq!(
            left_out("*.md\n!README*.md\nREADME-secret.md\n", &paths),
            ["README-secret.md", "other.md"]
        );
        assert_eq!(left_out("*.md\nREADME-secret.md\n!README*.md\n", &paths), ["other.md"]);
        assert_eq!(
            left_out("*\n!dir/keep\n", &paths),
            ["README.md", "README-secret.md", "other.md", "dir/x"]
        );
        assert_eq!(left_out("dir\n!dir\n", &paths), [""; 0]);
        assert!(Dockerignore::read(b"*\n!x").unwrap().takes_back());
        assert!(!Dockerignore::read(b"*\n#!x").unwrap().takes_back());
    }

    #[test]
    fn what_is_no_pattern_is_told_with_its_line() {
        let problem = |file: &str| Dockerignore::read(file.as_bytes()).unwrap_err();
        assert_eq!(problem("a\n[b"), "line 2: the pattern \"[b\" is none: a [ in it has no ]");
        assert_eq!(problem("!"), "line 1: nothing follows its !");
        assert_eq!(problem(&"x\n".repeat(PATTERNS_MAX + 1)), "it may have 1000 patterns, and has more");
        assert_eq!(problem(&"#".repeat(BYTES_MAX + 1)), "it may have 64 KB, and has more");
    }

    proptest! {
        #[test]
        fn taking_everything_back_leaves_nothing_out(lines in "[a-z*!/\n]{0,40}", path in "[a-z]{1,5}(/[a-z]{1,5}){0,3}") {
            if let Ok(ignore) = Dockerignore::read(format!("{lines}\n!**").as_bytes()) {
                prop_assert!(!ignore.leaves_out(&path));
            }
        }
    }
}
