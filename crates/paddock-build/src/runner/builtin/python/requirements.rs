//! The packages that `requirements.txt` lists.

use std::path::{Path, PathBuf};

use super::editable;
use crate::source::text;

/// The deepest that requirements files may include one another.
const INCLUDES_MAX: usize = 50;

/// Names that people write in its place. Source: those that Heroku's buildpack looks for.
const MISSPELT: [&str; 7] = [
    "Requirements.txt",
    "requeriments.txt",
    "requirement.txt",
    "requirements",
    "requirements.text",
    "requirements.txt.txt",
    "requirments.txt",
];

/// `requirements.txt` and what it includes by `-r` and `-c`.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// The files and what they say.
    pub(super) files: Vec<(PathBuf, String)>,
    /// They name folders whose content counts too, or files that cannot be read.
    is_open: bool,
}

/// The misspelt `requirements.txt` of an app.
pub(super) fn misspelt(build_dir: &Path) -> Option<&'static str> {
    MISSPELT.into_iter().find(|name| build_dir.join(name).exists())
}

impl Requirements {
    /// What the files say, when that decides alone what is installed.
    pub(super) fn contents(&self) -> Option<Vec<&[u8]>> {
        (!self.is_open).then(|| self.files.iter().map(|(_, text)| text.as_bytes()).collect())
    }

    pub(super) fn read(build_dir: &Path) -> Self {
        let mut found = Self::default();
        let mut waiting = vec![build_dir.join("requirements.txt")];
        while let Some(path) = waiting.pop() {
            if found.files.iter().any(|(known, _)| *known == path) {
                continue;
            }
            let (Ok(text), true) = (text::read(&path), found.files.len() < INCLUDES_MAX) else {
                found.is_open = true;
                continue;
            };
            let folder = path.parent().unwrap_or(build_dir);
            for line in text.lines().map(str::trim) {
                match included(line) {
                    // What lies elsewhere may change at any time, as any package without a version may.
                    Some(name) if name.contains("://") => {}
                    Some(name) => waiting.push(folder.join(name)),
                    None => found.is_open |= is_local(line),
                }
            }
            found.files.push((path, text));
        }
        found
    }
}

/// The file that a line includes.
fn included(line: &str) -> Option<&str> {
    let rest =
        ["--requirement", "--constraint", "-r", "-c"].iter().find_map(|option| line.strip_prefix(option))?;
    Some(rest.strip_prefix('=').unwrap_or(rest).trim())
}

/// Whether a line names a folder or file of the app as a package.
fn is_local(line: &str) -> bool {
    if let Some(requirement) = editable::in_place(line) {
        return !editable::is_fetched(requirement);
    }
    if line.starts_with(['-', '#']) {
        return false;
    }
    let name = line.split([';', ' ', '#']).next().unwrap_or_default();
    let is_file =
        name.contains('/') || [".whl", ".tar.gz", ".zip"].iter().any(|ending| name.ends_with(ending));
    (is_file && !name.contains("://")) || line.contains("file:") || line.contains("@ .")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(files: &[(&str, &str)]) -> Option<usize> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Requirements::read(folder.path()).contents().map(|files| files.len())
    }

    #[test]
    fn included_files_count() {
        for include in ["-r more.txt", "-rmore.txt", "--requirement=more.txt", "-c more.txt"] {
            let requirements = format!("\u{feff}Django==5\n{include}\n");
            assert_eq!(
                found(&[("requirements.txt", &requirements), ("more.txt", "x\n-r requirements.txt")]),
                Some(2),
                "{include}, and a circle ends"
            );
        }
        assert_eq!(found(&[("requirements.txt", "-r none.txt")]), None, "the installation will say so");
        assert_eq!(found(&[("requirements.txt", "-r https://h/x.txt")]), Some(1));
    }

    #[test]
    fn packages_of_the_app_itself_are_not_cached() {
        for line in [
            "-e .",
            "-e lib",
            "-e lib[x]",
            "--editable=lib",
            "./lib",
            "vendor/lib",
            "/app/lib",
            "x @ file:///x",
            "--editable ./y",
            "wheels/x.whl",
            "x-1.tar.gz ; python_version > '3'",
        ] {
            assert_eq!(found(&[("requirements.txt", line)]), None, "{line}");
        }
        for line in [
            "# ./lib",
            "six",
            "-e git+https://h/x@v1#egg=x",
            "x @ https://h/x-1.whl",
            "git+https://h/x@v1",
            "--extra-index-url https://h/simple/",
            "six==1.16.0 --hash=sha256:00/+",
        ] {
            assert_eq!(found(&[("requirements.txt", line)]), Some(1), "{line}");
        }
    }
}
