//! Which file lists the packages of an app, and so who installs them. Rules and first sentences: those of Heroku's
//! buildpack.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::pipfile;
use super::requirements::{self, Requirements};
use crate::source::text;

/// The largest lock file that is read, in bytes.
const LOCK_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The list of packages.
pub(super) enum Manifest {
    /// `requirements.txt`.
    Requirements(Requirements),
    /// A lock file of a package manager.
    Locked {
        manager: Manager,
        /// It and what it belongs to; `None` when the app itself, or a folder of it, is a package that is installed.
        files: Option<Vec<Vec<u8>>>,
    },
}

/// A package manager with a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Uv,
    Poetry,
    Pipenv,
}

impl Manager {
    const ALL: [Self; 3] = [Self::Pipenv, Self::Poetry, Self::Uv];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Poetry => "Poetry",
            Self::Pipenv => "Pipenv",
        }
    }

    pub(super) const fn lock(self) -> &'static str {
        match self {
            Self::Uv => "uv.lock",
            Self::Poetry => "poetry.lock",
            Self::Pipenv => "Pipfile.lock",
        }
    }

    /// What the lock was made from.
    const fn project(self) -> &'static str {
        match self {
            Self::Uv | Self::Poetry => "pyproject.toml",
            Self::Pipenv => "Pipfile",
        }
    }

    /// Whether what is installed depends on more than these two files.
    fn is_open(self, project: &str, lock: &str) -> bool {
        let says = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
        match self {
            Self::Uv => says(project, &["[build-system]", "path =", "[tool.uv.workspace]"]),
            // The project is installed as well, but by its path alone: unless a program of its own builds it.
            Self::Poetry => {
                says(lock, &["type = \"directory\"", "type = \"file\""])
                    || says(project, &["[tool.poetry.build]", "\nbuild ="])
            }
            Self::Pipenv => pipfile::names_folders(lock),
        }
    }

    fn read(self, build_dir: &Path) -> Result<Manifest, String> {
        let lock = read(&build_dir.join(self.lock()))
            .map_err(|error| format!("{} cannot be read: {error}.", self.lock()))?;
        let project = match read(&build_dir.join(self.project())) {
            Ok(project) => project,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!(
                    "{} needs a {} beside it: commit that too.",
                    self.lock(),
                    self.project()
                ));
            }
            Err(error) => return Err(format!("{} cannot be read: {error}.", self.project())),
        };
        let is_open = self.is_open(&text::decode(&project), &text::decode(&lock));
        let mut files = vec![project, lock];
        if self == Self::Poetry {
            files.push(read(&build_dir.join("poetry.toml")).unwrap_or_default());
            files.push(vec![u8::from(build_dir.join("src").is_dir())]);
        }
        Ok(Manifest::Locked { manager: self, files: (!is_open).then_some(files) })
    }
}

/// Reads a file that is no larger than what lock files are.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LOCK_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LOCK_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 32 MB"));
    }
    Ok(bytes)
}

impl Manifest {
    /// Finds it, or says what is there instead.
    pub(super) fn find(build_dir: &Path) -> Result<Self, String> {
        let exists = |name: &str| build_dir.join(name).is_file();
        if exists("Pipfile") && !exists("Pipfile.lock") {
            return Err(PIPFILE_ALONE.to_owned());
        }
        let locked: Vec<_> = Manager::ALL.into_iter().filter(|manager| exists(manager.lock())).collect();
        match (exists("requirements.txt"), locked.as_slice()) {
            (true, []) => Ok(Self::Requirements(Requirements::read(build_dir))),
            (false, [one]) => one.read(build_dir),
            (false, []) => Err(instead(build_dir)),
            (has_requirements, several) => Err(too_many(has_requirements, several)),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Requirements(_) => "requirements.txt",
            Self::Locked { manager, .. } => manager.lock(),
        }
    }

    pub(super) fn manager(&self) -> Option<Manager> {
        match self {
            Self::Requirements(_) => None,
            Self::Locked { manager, .. } => Some(*manager),
        }
    }

    /// The content of all files that decide what is installed, when files decide it alone.
    pub(super) fn files(&self) -> Option<Vec<&[u8]>> {
        match self {
            Self::Requirements(requirements) => requirements.contents(),
            Self::Locked { files, .. } => Some(files.as_ref()?.iter().map(Vec::as_slice).collect()),
        }
    }
}

const PIPFILE_ALONE: &str = "Error: No 'Pipfile.lock' found!\n\n\
    A Pipfile alone does not say which versions of packages are installed.\n\
    Run 'pipenv lock' locally to generate the lockfile, and make sure\n\
    that 'Pipfile.lock' isn't listed in '.gitignore' or '.slugignore'.";

fn too_many(has_requirements: bool, locked: &[Manager]) -> String {
    let mut names = Vec::new();
    let named = |manager: &Manager| format!("{} ({})", manager.lock(), manager.name());
    names.extend(locked.iter().filter(|manager| **manager == Manager::Pipenv).map(named));
    names.extend(has_requirements.then(|| "requirements.txt (pip)".to_owned()));
    names.extend(locked.iter().filter(|manager| **manager != Manager::Pipenv).map(named));
    format!(
        "Error: Multiple Python package manager files were found.\n\n\
         Exactly one package manager file should be present in your app's\n\
         source code, however, several were found:\n\n{}\n\n\
         Decide which package manager your app uses, and delete the files of the others.",
        names.join("\n")
    )
}

fn instead(build_dir: &Path) -> String {
    let exists = |name: &str| build_dir.join(name).is_file();
    if exists("setup.py") && !exists("pyproject.toml") {
        return "Error: Implicit setup.py file support has been sunset.\n\n\
                A setup.py alone does not say how the app is installed: add a requirements.txt with the line\n\
                --editable ."
            .to_owned();
    }
    let hint = if exists("pdm.lock") {
        "A pdm.lock is not read: 'pdm export --output requirements.txt' writes a list that is.".to_owned()
    } else if exists("pyproject.toml") {
        let project = text::read(&build_dir.join("pyproject.toml")).unwrap_or_default();
        let tool = if project.contains("[tool.poetry") { "poetry" } else { "uv" };
        format!(
            "pyproject.toml has no lock file: run '{tool} lock' and commit {tool}.lock, or add a requirements.txt."
        )
    } else if let Some(name) = requirements::misspelt(build_dir) {
        format!("{name} is not read: rename it to requirements.txt, which is how it is spelt.")
    } else {
        "If your app has no dependencies, then create an empty 'requirements.txt' file.".to_owned()
    };
    format!(
        "Error: Couldn't find any supported Python package manager files.\n\n\
         A Python app must have either a 'requirements.txt', 'Pipfile.lock', 'poetry.lock'\n\
         or 'uv.lock' package manager file in the root directory of its source code.\n\n{hint}"
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(files: &[(&str, &str)]) -> Result<(&'static str, Option<usize>), String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Manifest::find(folder.path())
            .map(|manifest| (manifest.name(), manifest.files().map(|files| files.len())))
    }

    #[test]
    fn one_lock_file_says_who_installs() {
        let uv = |project| found(&[("uv.lock", ""), ("pyproject.toml", project)]);
        assert_eq!(uv("[project]\nname = \"x\"\n"), Ok(("uv.lock", Some(2))));
        assert_eq!(uv("[build-system]\n"), Ok(("uv.lock", None)), "the app is a package");
        let poetry = |project, lock| found(&[("poetry.lock", lock), ("pyproject.toml", project)]);
        assert_eq!(poetry("[tool.poetry]\n[build-system]\n", ""), Ok(("poetry.lock", Some(4))));
        assert_eq!(poetry("[tool.poetry]\nbuild = \"x.py\"\n", ""), Ok(("poetry.lock", None)));
        let folder = "[package.source]\ntype = \"directory\"\nurl = \"lib\"\n";
        assert_eq!(poetry("[tool.poetry]\n", folder), Ok(("poetry.lock", None)));
        let pipenv = |lock| found(&[("Pipfile.lock", lock), ("Pipfile", "")]);
        assert_eq!(pipenv(r#"{"default":{"x":{"version":"==1"}}}"#), Ok(("Pipfile.lock", Some(2))));
        assert_eq!(pipenv(r#"{"default":{"x":{"editable":true,"path":"."}}}"#), Ok(("Pipfile.lock", None)));
    }

    #[test]
    fn what_is_missing_is_named() {
        let said = |files: &[_]| found(files).unwrap_err();
        let none = "Error: Couldn't find any supported Python package manager files.\n";
        for (files, hint) in [
            (&[("pyproject.toml", "[project]")][..], "run 'uv lock' and commit uv.lock"),
            (&[("pyproject.toml", "[tool.poetry]"), ("setup.py", "")], "run 'poetry lock'"),
            (&[("pyproject.toml", ""), ("pdm.lock", "")], "'pdm export --output requirements.txt'"),
            (&[("requirments.txt", "")], "requirments.txt is not read: rename it"),
            (&[("manage.py", "")], "create an empty 'requirements.txt'"),
        ] {
            let said = said(files);
            assert!(said.starts_with(none) && said.contains(hint), "{said}");
        }
        assert!(said(&[("setup.py", "")]).starts_with("Error: Implicit setup.py file support"));
        let pipfile = [("Pipfile", ""), ("requirements.txt", "")];
        assert!(said(&pipfile).starts_with("Error: No 'Pipfile.lock' found!\n"), "whatever else there is");
        for (lock, project) in
            [("uv.lock", "pyproject.toml"), ("poetry.lock", "pyproject.toml"), ("Pipfile.lock", "Pipfile")]
        {
            assert_eq!(
                said(&[(lock, "{}")]),
                format!("{lock} needs a {project} beside it: commit that too.")
            );
        }
    }

    #[test]
    fn several_package_managers_are_refused_in_herokus_order() {
        let all = ["uv.lock", "poetry.lock", "requirements.txt", "Pipfile.lock"].map(|name| (name, ""));
        let said = found(&all).unwrap_err();
        assert!(said.starts_with("Error: Multiple Python package manager files were found.\n"), "{said}");
        let order =
            "\n\nPipfile.lock (Pipenv)\nrequirements.txt (pip)\npoetry.lock (Poetry)\nuv.lock (uv)\n\n";
        assert!(said.contains(order), "{said}");
        assert!(found(&[("uv.lock", ""), ("poetry.lock", "")]).is_err());
    }

    #[test]
    fn a_lock_file_without_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("poetry.lock")).unwrap().set_len(LOCK_BYTES_MAX + 1).unwrap();
        fs::write(folder.path().join("pyproject.toml"), "").unwrap();
        let said = Manifest::find(folder.path()).err().unwrap();
        assert_eq!(said, "poetry.lock cannot be read: it is larger than 32 MB.");
    }
}
