//! The packages of a repository: the app's own and, in workspaces, those beside it.

use std::fs;
use std::path::{Path, PathBuf};

use super::files;
use super::lock::Manager;
use super::package::Package;

/// How deep one may lie, and how many are looked at.
const DEPTH_MAX: usize = 8;
const PROJECTS_MAX: usize = 2_000;
/// How many folders are looked into for them.
const FOLDERS_MAX: usize = 50_000;

/// One package of the repository.
pub(super) struct Project {
    /// From BUILD_DIR on; empty for the app's own.
    pub(super) folder: PathBuf,
    pub(super) package_bytes: Vec<u8>,
    /// Whether its manager runs scripts of it when it installs.
    pub(super) has_install_scripts: bool,
}

/// Whether other packages belong to the app.
pub(super) fn has_workspaces(build_dir: &Path, package: &Package, manager: Manager) -> bool {
    match manager {
        Manager::Pnpm => files::has_yaml_key(&files::settings(build_dir, "pnpm-workspace.yaml"), "packages"),
        Manager::Npm | Manager::Yarn | Manager::Berry => package.has_workspaces,
    }
}

/// Those that are there: with workspaces every folder that holds a package, whether or not a pattern names it, because
/// one too many does no harm.
pub(super) fn find(build_dir: &Path, package: &Package, manager: Manager) -> Vec<Project> {
    let own = Project {
        folder: PathBuf::new(),
        package_bytes: package.bytes.clone(),
        has_install_scripts: package.install_scripts().next().is_some(),
    };
    let mut projects = vec![own];
    if has_workspaces(build_dir, package, manager) {
        let mut folders_left = FOLDERS_MAX;
        look_in(build_dir, &PathBuf::new(), DEPTH_MAX, &mut folders_left, &mut projects);
    }
    projects
}

fn look_in(
    build_dir: &Path,
    folder: &Path,
    depth: usize,
    folders_left: &mut usize,
    projects: &mut Vec<Project>,
) {
    if depth == 0 {
        return;
    }
    let entries = fs::read_dir(build_dir.join(folder)).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name())
        .filter(|name| name != "node_modules" && !name.as_encoded_bytes().starts_with(b"."))
        .collect();
    folders.sort();
    for name in folders {
        if *folders_left == 0 || projects.len() >= PROJECTS_MAX {
            return;
        }
        *folders_left -= 1;
        let folder = folder.join(name);
        let path = build_dir.join(&folder);
        if let Ok(bytes) = files::read(&path.join("package.json"), files::PACKAGE_BYTES_MAX) {
            // One that cannot be read is its manager's to complain of.
            let has_install_scripts =
                Package::read(&path).is_ok_and(|package| package.install_scripts().next().is_some());
            projects.push(Project { folder: folder.clone(), package_bytes: bytes, has_install_scripts });
        }
        look_in(build_dir, &folder, depth - 1, folders_left, projects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_of_workspaces_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("package.json", r#"{"workspaces":["packages/*"]}"#);
        write("packages/b/package.json", r#"{"scripts":{"prepare":"x"}}"#);
        write("packages/a/package.json", "{}");
        write("node_modules/c/package.json", "{}");
        write("packages/a/node_modules/d/package.json", "{}");
        let package = Package::read(folder.path()).unwrap();
        let found = |manager| {
            let projects = find(folder.path(), &package, manager);
            projects
                .into_iter()
                .map(|project| (project.folder.display().to_string(), project.has_install_scripts))
                .collect::<Vec<_>>()
        };
        let all = [(String::new(), false), ("packages/a".into(), false), ("packages/b".into(), true)];
        assert_eq!(found(Manager::Yarn), all);
        assert_eq!(found(Manager::Pnpm).len(), 1, "pnpm has a file of its own for them");
        write("pnpm-workspace.yaml", "onlyBuiltDependencies:\n  - x\n");
        assert_eq!(found(Manager::Pnpm).len(), 1);
        write("pnpm-workspace.yaml", "packages:\n  - packages/*\n");
        assert_eq!(found(Manager::Pnpm).len(), 3);
    }
}
