//! Where backups are: a folder of this machine ([`BackupFolder`]), or a bucket elsewhere (`bucket.rs`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use async_trait::async_trait;
use paddock_core::{UnixMicros, durable};
use paddock_files::{make_private_folder, sync_folder_of};
use rustix::fs::OFlags;
use tokio::io::AsyncRead;

/// Keeps whole dumps under names of ours, `APP/TRANSFER.dump`.
#[async_trait]
pub(crate) trait BackupStore: Send + Sync {
    /// Takes over a file, which is gone from where it was. When this answers it is kept, whole, in place of what had the name.
    /// How many bytes.
    async fn keep(&self, name: &str, from: &Path) -> io::Result<u64>;

    /// Writes what is kept to a new file that everybody may read who gets at it. How many bytes.
    async fn fetch(&self, name: &str, to: &Path) -> io::Result<u64>;

    /// What is kept, and how many bytes it has.
    async fn open(&self, name: &str) -> io::Result<(KeptDump, u64)>;

    /// Lets go of what is kept; what is not there is gone already.
    async fn remove(&self, name: &str) -> io::Result<()>;

    /// Lets go of what nobody names. `named` is asked once it is known what there is. How many there were.
    async fn sweep(&self, now: UnixMicros, named: NamedDumps<'_>) -> io::Result<u64>;
}

/// A dump as it is read.
pub type KeptDump = Pin<Box<dyn AsyncRead + Send>>;

/// What rows name, asked for when it is needed.
pub(crate) type NamedDumps<'a> =
    &'a (dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<Named>> + Send + 'a>> + Send + Sync + 'a);

/// The names of dumps that rows have.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// All of them.
    pub(crate) all: BTreeSet<String>,
    /// Those of transfers that have not ended.
    pub(crate) unfinished: BTreeSet<String>,
}

/// A folder, which nobody but this server reads.
pub(crate) struct BackupFolder(PathBuf);

impl BackupFolder {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }
}

#[async_trait]
impl BackupStore for BackupFolder {
    async fn keep(&self, name: &str, from: &Path) -> io::Result<u64> {
        let (root, path, from) = (self.0.clone(), self.0.join(name), from.to_owned());
        blocking(move || {
            let file = open_plain(&from)?;
            let bytes = file.metadata()?.len();
            fchown(
                &file,
                Some(rustix::process::geteuid().as_raw()),
                Some(rustix::process::getegid().as_raw()),
            )?;
            file.set_permissions(PermissionsExt::from_mode(0o600))?;
            file.sync_all()?;
            make_private_folder(&root)?;
            if let Some(folder) = path.parent() {
                make_private_folder(folder)?;
                sync_folder_of(folder)?;
            }
            durable!("backup.kept", std::fs::rename(&from, &path))?;
            sync_folder_of(&path)?;
            Ok(bytes)
        })
        .await
    }

    async fn fetch(&self, name: &str, to: &Path) -> io::Result<u64> {
        let (path, to) = (self.0.join(name), to.to_owned());
        blocking(move || {
            let mut from = open_plain(&path)?;
            let mut file = readable_file(&to)?;
            io::copy(&mut from, &mut file)
        })
        .await
    }

    async fn open(&self, name: &str) -> io::Result<(KeptDump, u64)> {
        let path = self.0.join(name);
        let (file, bytes) = blocking(move || {
            let file = open_plain(&path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        })
        .await?;
        Ok((Box::pin(tokio::fs::File::from_std(file)), bytes))
    }

    /// A file has a row before it is here, and goes before its row.
    async fn sweep(&self, _: UnixMicros, _: NamedDumps<'_>) -> io::Result<u64> {
        Ok(0)
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.0.join(name);
        blocking(move || {
            match durable!("backup.removed", std::fs::remove_file(&path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if let Some(folder) = path.parent() {
                // The app's last one takes its folder with it; one that is not empty stays.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "an empty folder says nothing, and is made again"
                )]
                let _ = std::fs::remove_dir(folder);
            }
            Ok(())
        })
        .await
    }
}

/// A new file that a container may be shown.
pub(super) fn readable_file(path: &Path) -> io::Result<File> {
    #[expect(
        clippy::disallowed_methods,
        reason = "within the volume of a transfer, which begins anew after a kill"
    )]
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o644).open(path)?;
    // Whatever the mask of this process.
    file.set_permissions(PermissionsExt::from_mode(0o644))?;
    Ok(file)
}

/// Opens a file that is one: no link, and nothing that would be waited for.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")),
    }
}

/// Work on files, beside the tasks that wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let store = BackupFolder::new(folder.path().join("backups"));
        let from = folder.path().join("dump");
        std::fs::write(&from, "PGDMP…").unwrap();
        std::fs::set_permissions(&from, PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(store.keep("app/one.dump", &from).await.unwrap(), 8);
        assert!(!from.exists());
        let kept = folder.path().join("backups/app/one.dump");
        assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        let to = folder.path().join("again");
        assert_eq!(store.fetch("app/one.dump", &to).await.unwrap(), 8);
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "PGDMP…");
        assert_eq!(store.open("app/one.dump").await.unwrap().1, 8);
        store.remove("app/one.dump").await.unwrap();
        store.remove("app/one.dump").await.unwrap();
        assert!(!folder.path().join("backups/app").exists());
        assert!(store.open("app/one.dump").await.is_err());
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_a_dump_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        let link = folder.path().join("dump");
        std::os::unix::fs::symlink(folder.path().join("secret"), &link).unwrap();
        let store = BackupFolder::new(folder.path().join("backups"));
        assert!(store.keep("app/one.dump", &link).await.is_err());
        assert!(store.open("app/one.dump").await.is_err());
    }
}
