//! Files that the guides and the comments name are there: a name that leads nowhere is worse than none.
//!
//! A file is named by the end of its path, a crate without `crates/`, `paddock-` and `src/`: `control/kernel/change.rs`.

use std::fs;
use std::path::Path;

use crate::rust_files::rust_files;

/// What newcomers read first.
const GUIDES: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
/// Folders whose comments are looked at.
const SOURCES: [&str; 3] = ["crates", "e2e", "xtask"];
/// Stand for any name in a checklist: `docs/how-to/NAME.md`.
const PLACEHOLDERS: [&str; 5] = ["AREA", "JOB", "LANGUAGE", "NAME", "NOUN"];
/// Made, not kept.
const NOT_OURS: [&str; 2] = ["target", "node_modules"];

/// Each name that no file has, and where it stands.
pub(super) fn problems(root: &Path) -> Result<Vec<String>, String> {
    let tree = Tree::read(root)?;
    let mut problems = Vec::new();
    for guide in GUIDES {
        tree.look(guide, &read(&root.join(guide))?, |line| Some(line), &mut problems);
    }
    for folder in SOURCES {
        for file in rust_files(&root.join(folder))? {
            let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            tree.look(&name, &read(&file)?, comment, &mut problems);
        }
    }
    Ok(problems)
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("could not read {}: {error}", file.display()))
}

/// A line's comment. What stands behind code counts as one where no text can be about it.
fn comment(line: &str) -> Option<&str> {
    let (code, comment) = line.split_once("//")?;
    (!code.contains('"')).then_some(comment)
}

/// Every file by its short path, split at slashes.
struct Tree(Vec<Vec<String>>);

impl Tree {
    fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self(Vec::new());
        tree.add(root, "")?;
        Ok(tree)
    }

    fn add(&mut self, folder: &Path, path: &str) -> Result<(), String> {
        let failed = |error| format!("could not list {}: {error}", folder.display());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = format!("{path}{name}");
            if !entry.path().is_dir() {
                self.0.push(short(&below));
            } else if !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                self.add(&entry.path(), &format!("{below}/"))?;
            }
        }
        Ok(())
    }

    fn look(&self, place: &str, text: &str, part: impl Fn(&str) -> Option<&str>, problems: &mut Vec<String>) {
        for (number, line) in text.lines().enumerate() {
            for name in part(line).into_iter().flat_map(names).filter(|name| !self.has(name)) {
                problems.push(format!("{place}:{}: no file is called {name}", number + 1));
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        let wanted = short(name);
        self.0.iter().any(|path| {
            path.len() >= wanted.len()
                && path.iter().rev().zip(wanted.iter().rev()).all(|(part, wanted)| is(part, wanted))
        })
    }
}

fn is(part: &str, wanted: &str) -> bool {
    let stem = wanted.split('.').next().unwrap_or_default();
    part == wanted || (PLACEHOLDERS.contains(&stem) && part.ends_with(&wanted[stem.len()..]))
}

fn short(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "crates" | "src" | "." | ".."));
    parts.map(|part| part.strip_prefix("paddock-").unwrap_or(part).to_owned()).collect()
}

/// What in a line is the name of a source or a page of ours.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|char: char| !char.is_ascii_alphanumeric() && !"._-/".contains(char));
    words.map(|word| word.trim_end_matches('.')).filter(|word| {
        let file = word.rsplit('/').next().unwrap_or_default();
        file.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && matches!(ending, "rs" | "md"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(line: &str) -> Vec<String> {
        let files = ["crates/paddock-control/src/kernel/change.rs", "docs/how-to/logs.md", "CONTRIBUTING.md"];
        let tree = Tree(files.into_iter().map(short).collect());
        let mut problems = Vec::new();
        tree.look("x.rs", line, comment, &mut problems);
        problems
    }

    #[test]
    fn a_file_is_known_by_the_end_of_its_path() {
        assert!(
            complaints("// `control/kernel/change.rs`, `change.rs` and `docs/how-to/NAME.md`.").is_empty()
        );
        assert!(complaints("x(); // As crates/paddock-control/src/kernel/change.rs says.").is_empty());
        assert_eq!(complaints("/// See kernel/job.rs."), ["x.rs:1: no file is called kernel/job.rs"]);
        assert_eq!(
            complaints("//! `AREA/NOUN.md`, `api/NOUN.rs`"),
            ["x.rs:1: no file is called api/NOUN.rs"]
        );
        assert_eq!(complaints("// NOTES.md"), ["x.rs:1: no file is called NOTES.md"]);
    }

    #[test]
    fn only_comments_are_looked_at() {
        assert!(complaints("let url = \"http://localhost/gone.rs\";").is_empty());
        assert!(complaints("let file = \"gone.md\";").is_empty());
    }
}
