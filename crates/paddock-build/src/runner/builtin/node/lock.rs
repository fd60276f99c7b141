//! The lock file of an app, and the package manager that wrote it. What is refused, and the words for it: Heroku's own
//! buildpack.

use std::path::Path;

use serde_json::Value;

use super::declared::{Name, first_number};
use super::files;
use super::package::Package;
use crate::source::text;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Npm,
    /// The first Yarn, now called classic.
    Yarn,
    /// Yarn from 2 on, called berry.
    Berry,
    Pnpm,
}

impl Manager {
    /// The name of its program.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Yarn | Self::Berry => "yarn",
            Self::Pnpm => "pnpm",
        }
    }

    const fn name(self) -> Name {
        match self {
            Self::Npm => Name::Npm,
            Self::Yarn | Self::Berry => Name::Yarn,
            Self::Pnpm => Name::Pnpm,
        }
    }
}

/// A lock file.
pub(super) struct Lock {
    pub(super) manager: Manager,
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    /// The version of its format.
    pub(super) version: u64,
}

/// Their names, in the order in which they are named to people.
const LOCKS: [(&str, &str); 3] =
    [("package-lock.json", "npm"), ("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "Yarn")];
const SHRINKWRAP: &str = "npm-shrinkwrap.json";

/// The lock file, or what is wrong with those that are there.
pub(super) fn find(build_dir: &Path) -> Result<Option<Lock>, String> {
    let exists = |name: &str| build_dir.join(name).is_file();
    let found: Vec<_> = LOCKS.into_iter().filter(|(name, _)| exists(name)).collect();
    let has_shrinkwrap = exists(SHRINKWRAP);
    if found.len() > 1 {
        return Err(several(&found));
    }
    match found.first() {
        Some((name, _)) if has_shrinkwrap => Err(format!(
            "Error: Multiple lockfiles conflicting with {SHRINKWRAP}.\n\n\
             {SHRINKWRAP} and {name} both say what to install. Delete the one that you do not use, commit and\n\
             push again."
        )),
        Some((name, _)) => read(build_dir, name).map(Some),
        None if has_shrinkwrap => read(build_dir, SHRINKWRAP).map(Some),
        None => Ok(None),
    }
}

fn several(found: &[(&str, &str)]) -> String {
    let managers: Vec<_> = found.iter().map(|(_, manager)| *manager).collect();
    let mut text = format!(
        "Error: Multiple lockfiles found.\n\n\
         Several package managers ({}) have lock files here, and only one can install the packages.\n\
         Keep the lock file of the one that you use, delete the others, commit and push again:\n",
        managers.join(", ")
    );
    for (_, manager) in found {
        let others = found.iter().filter(|(_, other)| other != manager).map(|(name, _)| *name);
        text += &format!("- to use {manager}: git rm {}\n", others.collect::<Vec<_>>().join(" "));
    }
    text
}

fn read(build_dir: &Path, name: &'static str) -> Result<Lock, String> {
    let bytes = files::read(&build_dir.join(name), files::LOCK_BYTES_MAX)
        .map_err(|error| format!("{name} cannot be read: {error}"))?;
    let number = |text: &str| first_number(text).unwrap_or(1);
    let (manager, version) = match name {
        "yarn.lock" => match berry_version(&bytes) {
            Some(version) => (Manager::Berry, number(&version)),
            None => (Manager::Yarn, 1),
        },
        "pnpm-lock.yaml" => (
            Manager::Pnpm,
            files::yaml_value(&bytes, "lockfileVersion").map_or(9, |version| number(&version)),
        ),
        _ => {
            let json: Option<Value> = serde_json::from_str(&text::decode(&bytes)).ok();
            (Manager::Npm, json.and_then(|json| json.get("lockfileVersion")?.as_u64()).unwrap_or(1))
        }
    };
    Ok(Lock { manager, name, bytes, version })
}

/// The version that a lock file of Yarn 2 and newer says in its first entry.
fn berry_version(bytes: &[u8]) -> Option<String> {
    let text = text::decode(bytes);
    let mut lines = text.lines().skip_while(|line| !line.starts_with("__metadata:"));
    lines.next()?;
    lines
        .take_while(|line| line.starts_with(' '))
        .find_map(|line| line.trim().strip_prefix("version:").map(|version| version.trim().to_owned()))
}

/// Whether `package.json` names one manager, and that of the lock file.
pub(super) fn agree(package: &Package, lock: Option<&Lock>) -> Result<(), String> {
    let mut fields = Vec::new();
    let mut names = Vec::new();
    for (name, word, range) in [
        (Name::Npm, "npm", &package.npm),
        (Name::Yarn, "yarn", &package.yarn),
        (Name::Pnpm, "pnpm", &package.pnpm),
    ] {
        if let Some(range) = range {
            names.push(name);
            fields.push(format!("- engines.{word}: {range}"));
        }
    }
    if let Some(declared) = &package.declared {
        names.push(declared.name);
        fields.push(format!("- packageManager: {declared}"));
    }
    if names.iter().any(|name| *name != names[0]) {
        return Err(format!(
            "Multiple package managers declared in package.json\n\n\
             Installing with the wrong one gives other packages than you have tested with. Keep one of these\n\
             fields and remove the others:\n\n{}",
            fields.join("\n")
        ));
    }
    let (Some(declared), Some(lock)) = (&package.declared, lock) else { return Ok(()) };
    if declared.name != lock.manager.name() {
        return Err(format!(
            "packageManager in package.json is {declared}, but the lock file is {}.\n\
             Delete {} and commit the lock file that {} writes, or correct packageManager.",
            lock.name, lock.name, declared
        ));
    }
    let wrote = match lock.manager {
        Manager::Yarn if declared.major() > Some(1) => "Yarn 1",
        _ => return Ok(()),
    };
    Err(format!(
        "packageManager in package.json is {declared}, but yarn.lock was written by {wrote}.\n\
         Run `yarn install` with that version and commit yarn.lock, or correct packageManager."
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(files: &[(&str, &str)]) -> Result<Option<(Manager, u64)>, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        find(folder.path()).map(|lock| lock.map(|lock| (lock.manager, lock.version)))
    }

    #[test]
    fn a_lock_file_says_who_wrote_it() {
        for (name, text, expected) in [
            ("package-lock.json", "\u{feff}{\"lockfileVersion\": 3}", (Manager::Npm, 3)),
            ("npm-shrinkwrap.json", "{}", (Manager::Npm, 1)),
            ("yarn.lock", "# yarn lockfile v1\n\n\nms@2:\n  version \"2\"\n", (Manager::Yarn, 1)),
            ("yarn.lock", "", (Manager::Yarn, 1)),
            ("yarn.lock", "# x\n\n__metadata:\n  version: 8\n  cacheKey: 10c0\n", (Manager::Berry, 8)),
            ("pnpm-lock.yaml", "lockfileVersion: 5.4\n\nspecifiers:\n", (Manager::Pnpm, 5)),
            ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n\nsettings:\n", (Manager::Pnpm, 9)),
        ] {
            assert_eq!(found(&[(name, text)]), Ok(Some(expected)), "{name} {text}");
        }
        assert_eq!(found(&[]), Ok(None));
    }

    #[test]
    fn two_lock_files_are_refused() {
        let problem = found(&[("package-lock.json", "{}"), ("yarn.lock", "")]).unwrap_err();
        assert!(
            problem.starts_with("Error: Multiple lockfiles found.\n\nSeveral package managers (npm, Yarn)")
        );
        assert!(
            problem.contains("- to use npm: git rm yarn.lock\n- to use Yarn: git rm package-lock.json\n")
        );
        let all = [("package-lock.json", "{}"), ("yarn.lock", ""), ("pnpm-lock.yaml", "")];
        assert!(
            found(&all).unwrap_err().contains("- to use Yarn: git rm package-lock.json pnpm-lock.yaml\n")
        );
        let problem = found(&[("npm-shrinkwrap.json", "{}"), ("pnpm-lock.yaml", "")]).unwrap_err();
        assert!(problem.starts_with("Error: Multiple lockfiles conflicting with npm-shrinkwrap.json.\n"));
    }

    #[test]
    fn a_package_names_the_manager_of_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let agrees = |json: &str, lock: Option<(&str, &str)>| {
            fs::write(folder.path().join("package.json"), json).unwrap();
            let package = Package::read(folder.path()).unwrap();
            let lock = lock.map(|(name, text)| {
                let folder = tempfile::tempdir().unwrap();
                fs::write(folder.path().join(name), text).unwrap();
                find(folder.path()).unwrap().unwrap()
            });
            agree(&package, lock.as_ref())
        };
        let both = r#"{"engines":{"npm":"use pnpm"},"packageManager":"pnpm@10.33.0"}"#;
        let problem = agrees(both, None).unwrap_err();
        assert!(problem.starts_with("Multiple package managers declared in package.json\n"));
        assert!(problem.ends_with("- engines.npm: use pnpm\n- packageManager: pnpm@10.33.0"), "{problem}");

        let yarn_4 = r#"{"packageManager":"yarn@4.5.0","engines":{"yarn":"4.x"}}"#;
        let one = Some(("yarn.lock", "# yarn lockfile v1\n"));
        assert_eq!(agrees(yarn_4, Some(("yarn.lock", "__metadata:\n  version: 8\n"))), Ok(()));
        assert_eq!(agrees(r#"{"packageManager":"yarn@1.22.22"}"#, one), Ok(()));
        assert!(agrees(yarn_4, one).unwrap_err().contains("but yarn.lock was written by Yarn 1."));
        let problem = agrees(yarn_4, Some(("package-lock.json", "{}"))).unwrap_err();
        assert!(problem.starts_with(
            "packageManager in package.json is yarn@4.5.0, but the lock file is package-lock.json.\n"
        ));
        assert_eq!(agrees(r#"{"engines":{"yarn":"1.x"}}"#, Some(("package-lock.json", "{}"))), Ok(()));
    }
}
