//! Rules on a source tree, for the build runner: what is taken out, and what is warned about.
#![expect(
    clippy::disallowed_methods,
    reason = "it works on the source of a build, whose container goes with what it has made"
)]

pub mod slugignore;
pub mod text;

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// How a Git LFS pointer begins.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// The longest a pointer can be, in bytes. Source: the LFS specification.
const LFS_POINTER_BYTES_MAX: u64 = 1_024;
/// How many pointers are named in a warning.
const LFS_NAMED_MAX: usize = 5;

/// The folder that `PROJECT_PATH` names, if it is one inside the tree.
#[must_use]
pub fn project_folder(root: &Path, project_path: &str) -> Option<PathBuf> {
    let relative: PathBuf = Path::new(project_path)
        .components()
        .map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let root = root.canonicalize().ok()?;
    let folder = root.join(relative).canonicalize().ok()?;
    (folder.is_dir() && folder != root && folder.starts_with(&root)).then_some(folder)
}

/// The only entry of a folder, when that is a folder: what archives made by forges have at their top.
pub fn single_folder(root: &Path) -> io::Result<Option<PathBuf>> {
    let mut entries = fs::read_dir(root)?;
    let Some(first) = entries.next().transpose()? else { return Ok(None) };
    Ok((entries.next().is_none() && first.file_type()?.is_dir()).then(|| first.path()))
}

/// The first few files that are Git LFS pointers instead of their content, relative to `root`. Looks only where
/// `.gitattributes` mentions LFS.
pub fn lfs_pointers(root: &Path) -> io::Result<Vec<PathBuf>> {
    let attributes = fs::read(root.join(".gitattributes")).unwrap_or_default();
    let mut found = Vec::new();
    if attributes.windows(10).any(|bytes| bytes == b"filter=lfs") {
        find_pointers(root, root, &mut found)?;
    }
    Ok(found)
}

fn find_pointers(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if found.len() >= LFS_NAMED_MAX {
            return Ok(());
        }
        if kind.is_dir() {
            find_pointers(root, &path, found)?;
        } else if kind.is_file() && entry.metadata()?.len() <= LFS_POINTER_BYTES_MAX && is_pointer(&path) {
            found.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
        }
    }
    Ok(())
}

fn is_pointer(path: &Path) -> bool {
    let mut head = [0; LFS_POINTER.len()];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *LFS_POINTER
}

/// Deletes what never belongs to a slug: `.git` and `.gitmodules` at the root, `.DS_Store` anywhere.
pub fn remove_leftovers(root: &Path) -> io::Result<()> {
    for name in [".git", ".gitmodules"] {
        remove_any(&root.join(name))?;
    }
    remove_ds_store(root)
}

fn remove_ds_store(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            // A folder that its own build made unreadable is packed as it is.
            let _ = remove_ds_store(&entry.path());
        } else if entry.file_name() == ".DS_Store" {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Deletes a file, a link or a folder with its content; succeeds when there is nothing.
pub fn remove_any(path: &Path) -> io::Result<()> {
    let result = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_project_path_is_a_folder_of_the_tree() {
        let tree = tree(&[("apps/web/Procfile", ""), ("file", "")]);
        std::os::unix::fs::symlink("/etc", tree.path().join("out")).unwrap();
        let folder = |path| project_folder(tree.path(), path).is_some();
        assert!(folder("apps/web") && folder("apps/web/"));
        for path in ["", ".", "/", "/etc", "..", "apps/../..", "out", "none", "file"] {
            assert!(!folder(path), "{path}");
        }
    }

    #[test]
    fn pointers_are_found_only_where_lfs_is_used() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        let files = [("a/b.psd", pointer), ("c", "not one")];
        assert!(lfs_pointers(tree(&files).path()).unwrap().is_empty());
        let used = [files[0], files[1], (".gitattributes", "*.psd filter=lfs diff=lfs\n")];
        assert_eq!(lfs_pointers(tree(&used).path()).unwrap(), [PathBuf::from("a/b.psd")]);
    }

    #[test]
    fn leftovers_go_and_everything_else_stays() {
        let tree = tree(&[
            (".git/HEAD", ""),
            (".gitmodules", ""),
            ("a/.DS_Store", ""),
            ("a/.git/x", ""),
            ("tmp/x", ""),
        ]);
        remove_leftovers(tree.path()).unwrap();
        let exists = |name: &str| tree.path().join(name).exists();
        assert!(!exists(".git") && !exists(".gitmodules") && !exists("a/.DS_Store"));
        assert!(exists("a/.git/x") && exists("tmp/x"));
        assert_eq!(single_folder(&tree.path().join("tmp")).unwrap(), None);
    }
}
