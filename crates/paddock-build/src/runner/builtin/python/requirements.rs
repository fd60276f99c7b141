//! Where the packages of an app are listed.

use std::fs;
use std::path::Path;

/// The deepest that requirements files may include one another.
const INCLUDES_MAX: usize = 50;

/// The list of packages.
pub(super) enum Manifest {
    /// `requirements.txt`.
    Requirements {
        /// It and the files that it includes; `None` when it names folders whose content counts too.
        files: Option<Vec<Vec<u8>>>,
    },
    /// `uv.lock` and `pyproject.toml`.
    UvLock {
        /// Both; `None` when the app itself is a package that is installed.
        files: Option<Vec<Vec<u8>>>,
    },
}

impl Manifest {
    /// Finds it, or says what is there instead.
    pub(super) fn find(build_dir: &Path) -> Result<Self, String> {
        let exists = |name: &str| build_dir.join(name).is_file();
        match (exists("requirements.txt"), exists("uv.lock")) {
            (true, true) => {
                Err("Both requirements.txt and uv.lock found: remove the one that is not used.".into())
            }
            (true, false) => Ok(Self::Requirements { files: included(build_dir) }),
            (false, true) if !exists("pyproject.toml") => {
                Err("uv.lock needs a pyproject.toml beside it: commit that too.".into())
            }
            (false, true) => Ok(Self::UvLock { files: locked(build_dir) }),
            (false, false) => Err(instead(build_dir)),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Requirements { .. } => "requirements.txt",
            Self::UvLock { .. } => "uv.lock",
        }
    }

    /// The content of all files that decide what is installed, when files decide it alone.
    pub(super) fn files(&self) -> Option<&Vec<Vec<u8>>> {
        match self {
            Self::Requirements { files } | Self::UvLock { files } => files.as_ref(),
        }
    }
}

fn instead(build_dir: &Path) -> String {
    let other = ["Pipfile", "poetry.lock", "pyproject.toml", "setup.py"];
    match other.into_iter().find(|name| build_dir.join(name).is_file()) {
        Some("pyproject.toml") => {
            "pyproject.toml has no lock file: run `uv lock` and commit uv.lock, or add a requirements.txt."
                .into()
        }
        Some(name) => format!(
            "{name} is not supported by the built-in Python buildpack: add a requirements.txt or a uv.lock,\n\
             or use the classic buildpack:\n  heroku buildpacks:set https://github.com/heroku/heroku-buildpack-python"
        ),
        None => "There is no list of packages: add a requirements.txt (it may be empty) or a uv.lock.".into(),
    }
}

fn locked(build_dir: &Path) -> Option<Vec<Vec<u8>>> {
    let project = fs::read_to_string(build_dir.join("pyproject.toml")).ok()?;
    let lock = fs::read_to_string(build_dir.join("uv.lock")).ok()?;
    // The app itself, or a folder of it, is installed as a package: its content counts too.
    let own = project.contains("[build-system]")
        || project.contains("path =")
        || project.contains("[tool.uv.workspace]");
    (!own).then(|| vec![project.into_bytes(), lock.into_bytes()])
}

/// `requirements.txt` and what it includes by `-r` and `-c`.
fn included(build_dir: &Path) -> Option<Vec<Vec<u8>>> {
    let mut waiting = vec![build_dir.join("requirements.txt")];
    let mut files = Vec::new();
    while let Some(path) = waiting.pop() {
        let text = fs::read_to_string(&path).ok()?;
        let folder = path.parent()?;
        for line in text.lines().map(str::trim) {
            let include = ["-r ", "-c ", "--requirement ", "--constraint ", "-r", "-c"]
                .into_iter()
                .find_map(|option| line.strip_prefix(option));
            if let Some(name) = include.filter(|name| !name.starts_with("http")) {
                waiting.push(folder.join(name.trim()));
            } else if is_local(line) {
                return None;
            }
        }
        files.push(text.into_bytes());
        if files.len() > INCLUDES_MAX {
            return None;
        }
    }
    Some(files)
}

/// Whether a line names a folder or file of the app as a package.
fn is_local(line: &str) -> bool {
    let line = line.strip_prefix("-e").or_else(|| line.strip_prefix("--editable")).unwrap_or(line).trim();
    line.starts_with(['.', '/']) || line.contains("file:") || line.contains("@ .") || line.ends_with(".whl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Result<Option<usize>, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Manifest::find(folder.path()).map(|manifest| manifest.files().map(Vec::len))
    }

    #[test]
    fn included_files_count() {
        assert_eq!(
            found(&[("requirements.txt", "Django==5\n-r more.txt\n"), ("more.txt", "x\n")]),
            Ok(Some(2))
        );
        assert_eq!(found(&[("requirements.txt", "-r none.txt")]), Ok(None), "the installation will say so");
        assert_eq!(found(&[("requirements.txt", "-r requirements.txt")]), Ok(None), "a circle ends");
    }

    #[test]
    fn packages_of_the_app_itself_are_not_cached() {
        for line in ["-e .", "./lib", "x @ file:///x", "--editable ./y", "wheels/x.whl"] {
            assert_eq!(found(&[("requirements.txt", line)]), Ok(None), "{line}");
        }
        let project = |text| found(&[("uv.lock", ""), ("pyproject.toml", text)]);
        assert_eq!(project("[project]\nname = \"x\"\n"), Ok(Some(2)));
        assert_eq!(project("[build-system]\n"), Ok(None));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(found(&[("Pipfile", "")]).unwrap_err().starts_with("Pipfile is not supported"));
        assert!(found(&[("pyproject.toml", "")]).unwrap_err().contains("uv lock"));
        assert!(found(&[("requirements.txt", ""), ("uv.lock", "")]).unwrap_err().starts_with("Both"));
        assert!(found(&[("manage.py", "")]).unwrap_err().starts_with("There is no list"));
    }
}
