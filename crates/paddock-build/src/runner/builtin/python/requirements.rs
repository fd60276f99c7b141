//! Where the packages of an app are listed.

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

/// The list of packages.
pub(super) enum Manifest {
    /// `requirements.txt`.
    Requirements(Requirements),
    /// `uv.lock` and `pyproject.toml`.
    UvLock {
        /// Both; `None` when the app itself is a package that is installed.
        files: Option<Vec<Vec<u8>>>,
    },
}

/// `requirements.txt` and what it includes by `-r` and `-c`.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// The files and what they say.
    pub(super) files: Vec<(PathBuf, String)>,
    /// They name folders whose content counts too, or files that cannot be read.
    is_open: bool,
}

impl Manifest {
    /// Finds it, or says what is there instead.
    pub(super) fn find(build_dir: &Path) -> Result<Self, String> {
        let exists = |name: &str| build_dir.join(name).is_file();
        match (exists("requirements.txt"), exists("uv.lock")) {
            (true, true) => {
                Err("Both requirements.txt and uv.lock found: remove the one that is not used.".into())
            }
            (true, false) => Ok(Self::Requirements(Requirements::read(build_dir))),
            (false, true) if !exists("pyproject.toml") => {
                Err("uv.lock needs a pyproject.toml beside it: commit that too.".into())
            }
            (false, true) => Ok(Self::UvLock { files: locked(build_dir) }),
            (false, false) => Err(instead(build_dir)),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Requirements(_) => "requirements.txt",
            Self::UvLock { .. } => "uv.lock",
        }
    }

    /// The content of all files that decide what is installed, when files decide it alone.
    pub(super) fn files(&self) -> Option<Vec<&[u8]>> {
        match self {
            Self::Requirements(requirements) if requirements.is_open => None,
            Self::Requirements(requirements) => {
                Some(requirements.files.iter().map(|(_, text)| text.as_bytes()).collect())
            }
            Self::UvLock { files } => Some(files.as_ref()?.iter().map(Vec::as_slice).collect()),
        }
    }
}

/// The misspelt `requirements.txt` of an app.
pub(super) fn misspelt(build_dir: &Path) -> Option<&'static str> {
    MISSPELT.into_iter().find(|name| build_dir.join(name).exists())
}

fn instead(build_dir: &Path) -> String {
    let other = ["Pipfile.lock", "Pipfile", "poetry.lock", "pdm.lock", "pyproject.toml", "setup.py"];
    match other.into_iter().find(|name| build_dir.join(name).is_file()) {
        Some("pyproject.toml") => {
            "pyproject.toml has no lock file: run `uv lock` and commit uv.lock, or add a requirements.txt."
                .into()
        }
        Some("setup.py") => {
            "setup.py alone does not say how the app is installed: add a requirements.txt with the line\n\
             --editable ."
                .into()
        }
        Some(name) => format!(
            "{name} is not supported by the built-in Python buildpack: add a requirements.txt or a uv.lock,\n\
             or use Heroku's own buildpack, which fetches Python and what it needs from the internet:\n  \
             heroku buildpacks:set https://github.com/heroku/heroku-buildpack-python"
        ),
        None => match misspelt(build_dir) {
            Some(name) => {
                format!("{name} is not read: rename it to requirements.txt, which is how it is spelt.")
            }
            None => {
                "There is no list of packages: add a requirements.txt (it may be empty) or a uv.lock.".into()
            }
        },
    }
}

fn locked(build_dir: &Path) -> Option<Vec<Vec<u8>>> {
    let project = text::read(&build_dir.join("pyproject.toml")).ok()?;
    let lock = text::read(&build_dir.join("uv.lock")).ok()?;
    // The app itself, or a folder of it, is installed as a package: its content counts too.
    let own = project.contains("[build-system]")
        || project.contains("path =")
        || project.contains("[tool.uv.workspace]");
    (!own).then(|| vec![project.into_bytes(), lock.into_bytes()])
}

impl Requirements {
    fn read(build_dir: &Path) -> Self {
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

    fn found(files: &[(&str, &str)]) -> Result<Option<usize>, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Manifest::find(folder.path()).map(|manifest| manifest.files().map(|files| files.len()))
    }

    #[test]
    fn included_files_count() {
        for include in ["-r more.txt", "-rmore.txt", "--requirement=more.txt", "-c more.txt"] {
            let requirements = format!("\u{feff}Django==5\n{include}\n");
            assert_eq!(
                found(&[("requirements.txt", &requirements), ("more.txt", "x\n-r requirements.txt")]),
                Ok(Some(2)),
                "{include}, and a circle ends"
            );
        }
        assert_eq!(found(&[("requirements.txt", "-r none.txt")]), Ok(None), "the installation will say so");
        assert_eq!(found(&[("requirements.txt", "-r https://h/x.txt")]), Ok(Some(1)));
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
            assert_eq!(found(&[("requirements.txt", line)]), Ok(None), "{line}");
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
            assert_eq!(found(&[("requirements.txt", line)]), Ok(Some(1)), "{line}");
        }
        let project = |text| found(&[("uv.lock", ""), ("pyproject.toml", text)]);
        assert_eq!(project("[project]\nname = \"x\"\n"), Ok(Some(2)));
        assert_eq!(project("[build-system]\n"), Ok(None));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(found(&[("Pipfile", "")]).unwrap_err().starts_with("Pipfile is not supported"));
        assert!(
            found(&[("poetry.lock", ""), ("pyproject.toml", "")])
                .unwrap_err()
                .starts_with("poetry.lock is not")
        );
        assert!(found(&[("pyproject.toml", "")]).unwrap_err().contains("uv lock"));
        assert!(found(&[("setup.py", "")]).unwrap_err().contains("--editable ."));
        assert!(found(&[("requirements.txt", ""), ("uv.lock", "")]).unwrap_err().starts_with("Both"));
        assert!(found(&[("requirments.txt", "")]).unwrap_err().starts_with("requirments.txt is not read"));
        assert!(found(&[("manage.py", "")]).unwrap_err().starts_with("There is no list"));
    }
}
