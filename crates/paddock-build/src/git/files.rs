//! The files of a repository as a backup takes them: objects, and all refs as one packed file.
//!
//! The folder belongs to the git user, so nothing in it is trusted: no link is followed, only plain files are opened,
//! only names that git gives to objects are taken. Settings are not part of it: [`lay_out`] writes ours again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

/// The longest content of a ref's file: an object id, or `ref: ` and a name.
const REF_BYTES_MAX: u64 = 4096;
/// Folders within folders of refs.
const REF_DEPTH_MAX: usize = 64;
/// What git itself writes into a new bare repository.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
const HEAD: &str = "ref: refs/heads/main\n";
/// Archives contain what was pushed, whatever the app's own attributes say.
pub(super) const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

#[derive(Debug)]
pub struct RepositoryFiles {
    folder: OwnedFd,
}

impl RepositoryFiles {
    /// The repository at `git_dir`; `None` where there is none.
    pub fn open(git_dir: &Path) -> io::Result<Option<Self>> {
        match rustix::fs::openat(CWD, git_dir, folder_flags(), Mode::empty()) {
            Ok(folder) => Ok(Some(Self { folder })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Every ref and what it points at, in the form of git's `packed-refs`.
    pub fn packed_refs(&self) -> io::Result<Vec<u8>> {
        let mut refs = BTreeMap::new();
        if let Some(packed) = self.read("packed-refs", u64::MAX)? {
            for line in packed.split(|byte| *byte == b'\n') {
                // `#` begins a header, `^` what an annotated tag leads to: git finds that out again.
                let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
                if is_object_id(&line[..space]) {
                    refs.insert(line[space + 1..].to_vec(), line[..space].to_vec());
                }
            }
        }
        self.loose_refs(b"refs", REF_DEPTH_MAX, &mut refs)?;
        let mut text = b"# pack-refs with: sorted \n".to_vec();
        for (name, id) in refs {
            text.extend_from_slice(&[&id[..], b" ", &name, b"\n"].concat());
        }
        Ok(text)
    }

    /// A ref of its own file is newer than the packed one.
    fn loose_refs(
        &self,
        folder: &[u8],
        depth: usize,
        refs: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> io::Result<()> {
        for (name, kind) in self.list(folder)? {
            let path = [folder, b"/", &name].concat();
            match kind {
                FileType::Directory if depth > 0 => self.loose_refs(&path, depth - 1, refs)?,
                FileType::RegularFile if !name.ends_with(b".lock") => {
                    let content = self.read(path.as_slice(), REF_BYTES_MAX)?.unwrap_or_default();
                    let id = content.trim_ascii_end();
                    if is_object_id(id) {
                        refs.insert(path, id.to_vec());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The objects' files below the repository, loose ones and packs, with their bytes. Nobody may repack meanwhile.
    pub fn objects(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for (folder, kind) in self.list(b"objects")? {
            if kind != FileType::Directory {
                continue;
            }
            for (name, _) in self.list(&[b"objects/", folder.as_slice()].concat())? {
                let path = [b"objects/", folder.as_slice(), b"/", &name].concat();
                let path = String::from_utf8(path).ok().filter(|path| is_object_file(path));
                if let Some(path) = path
                    && let Some(file) = self.open_plain(path.as_str())?
                {
                    found.push((path, file.metadata()?.len()));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Opens one of [`Self::objects`]; `None` when it is gone.
    pub fn open_object(&self, path: &str) -> io::Result<Option<File>> {
        if is_object_file(path) { self.open_plain(path) } else { Ok(None) }
    }

    fn read(&self, path: impl rustix::path::Arg, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_plain(path)? else { return Ok(None) };
        let mut content = Vec::new();
        file.take(bytes_max).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// A plain file below the repository; `None` for anything else and for what is not there.
    fn open_plain(&self, path: impl rustix::path::Arg) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Some(file) = self.open_beneath(path, flags)?.map(File::from) else { return Ok(None) };
        Ok(Some(file).filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file())))
    }

    fn open_beneath(&self, path: impl rustix::path::Arg, flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(self.folder.as_fd(), path, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(Some(file)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self, folder: &[u8]) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        let Some(folder) = self.open_beneath(folder, folder_flags())? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let kind = match entry.file_type() {
                    FileType::Unknown => {
                        let stat = rustix::fs::statat(
                            &folder,
                            entry.file_name(),
                            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
                        )?;
                        FileType::from_raw_mode(stat.st_mode)
                    }
                    known => known,
                };
                found.push((name.to_vec(), kind));
            }
        }
        Ok(found)
    }
}

/// Makes the folders and settings of a repository whose objects and `packed-refs` come from a backup.
#[expect(
    clippy::disallowed_methods,
    reason = "in the folder of a restore, which one that is cut off removes"
)]
pub fn lay_out(git_dir: &Path) -> io::Result<()> {
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
        std::fs::create_dir_all(git_dir.join(folder))?;
    }
    std::fs::write(git_dir.join("config"), CONFIG)?;
    std::fs::write(git_dir.join("info/attributes"), ATTRIBUTES)?;
    std::fs::write(git_dir.join("HEAD"), HEAD)
}

/// Whether a path below a repository is one that git gives to an object, a pack or what belongs to a pack.
#[must_use]
pub fn is_object_file(path: &str) -> bool {
    let Some((folder, name)) = path.strip_prefix("objects/").and_then(|path| path.split_once('/')) else {
        return false;
    };
    let is_hex = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    if folder == "pack" {
        let parts = name.strip_prefix("pack-").and_then(|name| name.split_once('.'));
        return parts.is_some_and(|(id, kind)| {
            is_object_id(id.as_bytes()) && matches!(kind, "pack" | "idx" | "rev" | "bitmap" | "mtimes")
        });
    }
    folder.len() == 2 && is_hex(folder) && matches!(name.len(), 38 | 62) && is_hex(name)
}

fn is_object_id(text: &[u8]) -> bool {
    matches!(text.len(), 40 | 64) && text.iter().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(c))
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    #[test]
    fn refs_of_their_own_files_win_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("secret");
        std::fs::write(&outside, format!("{TWO}\n")).unwrap();
        let repository = folder.path().join("a.git");
        lay_out(&repository).unwrap();
        std::fs::write(
            repository.join("packed-refs"),
            format!("# pack-refs with: peeled\n{ONE} refs/heads/main\n{ONE} refs/tags/v1\n^{TWO}\n"),
        )
        .unwrap();
        std::fs::write(repository.join("refs/heads/main"), format!("{TWO}\n")).unwrap();
        std::fs::write(repository.join("refs/heads/main.lock"), format!("{ONE}\n")).unwrap();
        std::fs::write(repository.join("refs/heads/symbolic"), "ref: refs/heads/main\n").unwrap();
        symlink(&outside, repository.join("refs/heads/linked")).unwrap();
        symlink(folder.path(), repository.join("refs/remotes")).unwrap();
        symlink("/etc/passwd", repository.join(format!("objects/pack/pack-{ONE}.pack"))).unwrap();
        std::fs::create_dir(repository.join("objects/ab")).unwrap();
        std::fs::write(repository.join("objects/ab").join(&ONE[2..]), "object").unwrap();
        std::fs::write(repository.join("objects/ab/tmp_obj_x"), "unfinished").unwrap();

        let files = RepositoryFiles::open(&repository).unwrap().unwrap();
        let refs = String::from_utf8(files.packed_refs().unwrap()).unwrap();
        assert_eq!(refs, format!("# pack-refs with: sorted \n{TWO} refs/heads/main\n{ONE} refs/tags/v1\n"));
        assert_eq!(files.objects().unwrap(), [(format!("objects/ab/{}", &ONE[2..]), 6)]);
        assert!(files.open_object("../secret").unwrap().is_none());
        symlink(&repository, folder.path().join("b.git")).unwrap();
        assert!(RepositoryFiles::open(&folder.path().join("b.git")).is_err(), "a repository is no link");
        assert!(RepositoryFiles::open(&folder.path().join("c.git")).unwrap().is_none());
    }
}
