//! The tree of a commit as a tar, and the tree of a submodule behind it in the same file.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use paddock_core::AppId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::repository::{checked, run_with};
use super::{GitError, Group, Repositories};

/// Tar's unit: headers and contents are padded to it.
const BLOCK_BYTES: u64 = 512;

impl Repositories {
    /// Writes the tree of a commit as a tar to a new file `to`, which belongs to this process's user.
    ///
    /// # Errors
    /// `ArchiveTooLarge`; when the commit does not exist, the file exists or cannot be written.
    pub async fn archive(&self, app: AppId, commit: &str, to: &Path) -> Result<(), GitError> {
        self.write_tar(app, commit, &[], to, self.config.archive_bytes_max).await
    }

    /// Adds the tree of a commit, of whatever app, to a tar that [`Repositories::archive`] has written, in the folder
    /// `folder`.
    ///
    /// # Errors
    /// `ArchiveTooLarge` for all of it together; when the commit does not exist or a file cannot be written. The tar is
    /// then as it was.
    pub async fn add_to_archive(
        &self,
        app: AppId,
        commit: &str,
        folder: &str,
        tar: &Path,
    ) -> Result<(), GitError> {
        let more = tar.with_extension("submodule.tar");
        // Of a try that was killed.
        #[expect(
            clippy::disallowed_methods,
            reason = "in the source of a build, which a crash fails or makes anew"
        )]
        let _ = std::fs::remove_file(&more);
        let used = tokio::fs::metadata(tar).await.map_or(0, |metadata| metadata.len());
        let left = self.config.archive_bytes_max.saturating_sub(used);
        let written = self.write_tar(app, commit, &[&format!("--prefix={folder}/")], &more, left).await;
        let joined = match written {
            Ok(()) => {
                let (tar, more) = (tar.to_owned(), more.clone());
                let joined = tokio::task::spawn_blocking(move || append(&tar, &more)).await;
                let joined = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                joined.map_err(|source| GitError::io("could not put a submodule into the source", source))
            }
            Err(error) => Err(error),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "in the source of a build, which a crash fails or makes anew"
        )]
        let _ = std::fs::remove_file(&more);
        joined
    }

    async fn write_tar(
        &self,
        app: AppId,
        commit: &str,
        options: &[&str],
        to: &Path,
        bytes_max: u64,
    ) -> Result<(), GitError> {
        checked(commit)?;
        let path = self.create(app).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "in the source of a build, which a crash fails or makes anew"
        )]
        let mut file = tokio::fs::File::create_new(to)
            .await
            .map_err(|source| GitError::io(format!("could not write {}", to.display()), source))?;
        let arguments = [&["archive", "--format=tar"], options, &[commit]].concat();
        let command = self.command(Group::Own, &path, &arguments);
        let written = run_with(command, "archive", async |mut stdout| {
            let written = tokio::io::copy(&mut (&mut stdout).take(bytes_max), &mut file).await?;
            file.flush().await?;
            match stdout.read(&mut [0]).await? {
                0 => Ok(written),
                _ => Err(io::ErrorKind::FileTooLarge.into()),
            }
        });
        match written.await {
            Err(GitError::Io { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge => {
                let (commit, limit) = (commit.to_owned(), self.config.archive_bytes_max);
                Err(GitError::ArchiveTooLarge { commit, limit })
            }
            written => written.map(drop),
        }
    }
}

/// Puts the entries of one tar behind those of another.
fn append(tar: &Path, more: &Path) -> io::Result<()> {
    let end = end_of_entries(&File::open(tar)?)?;
    let mut tar = File::options().write(true).open(tar)?;
    tar.seek(SeekFrom::Start(end))?;
    // What was behind the end is zeros, and `more` has an end of its own.
    #[expect(
        clippy::disallowed_methods,
        reason = "in the source of a build, which a crash fails or makes anew"
    )]
    tar.set_len(end)?;
    io::copy(&mut File::open(more)?, &mut tar).map(drop)
}

/// Where the last entry ends. Zeros alone do not tell: a file may end in some.
fn end_of_entries(tar: &File) -> io::Result<u64> {
    let mut end = 0;
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries_with_seek()?.raw(true) {
        let entry = entry?;
        end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK_BYTES);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn write(path: &Path, files: &[(&str, &[u8])]) {
        let mut builder = tar::Builder::new(File::create(path).unwrap());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap();
    }

    #[test]
    fn entries_of_two_archives_become_one() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let long = "x".repeat(150);
        write(&first, &[("a", b"1"), (&long, b"2"), ("zeros", &[0; 3000])]);
        write(&second, &[("sub/a", b"3"), ("sub/empty", b"")]);
        append(&first, &second).unwrap();
        append(&first, &second).unwrap();
        let mut archive = tar::Archive::new(File::open(&first).unwrap());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let (path, mut content) = (entry.path().unwrap().display().to_string(), Vec::new());
            entry.read_to_end(&mut content).unwrap();
            found.push((path, content.len()));
        }
        let expected = [
            ("a", 1),
            (&long, 1),
            ("zeros", 3000),
            ("sub/a", 1),
            ("sub/empty", 0),
            ("sub/a", 1),
            ("sub/empty", 0),
        ];
        assert_eq!(found, expected.map(|(path, length)| (path.to_owned(), length)));
    }
}
