//! `DIR/buildpacks`: archives of buildpacks, each under the SHA-256 of its bytes. Builds see those that they are given.

use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use paddock_core::error::chain;
use paddock_core::{durable, hex};
use paddock_images::{ArchiveLimits, check_source_archive};
use paddock_outbound::{FetchLimits, Outbound, OutboundError};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::kernel::clock::machine_time;
use crate::{Error, Result};

/// What fetching an archive may cost. Source: `docs/contract/buildpacks.md`, section 2.
const LIMITS: FetchLimits = FetchLimits {
    bytes_max: 200 * 1024 * 1024,
    time_max: Duration::from_secs(90),
    idle_max: Duration::from_secs(30),
};
/// How often a fetch is tried that breaks off.
const TRIES: usize = 3;
/// What may be in one: Heroku's largest has some thousands of files.
const ARCHIVE: ArchiveLimits = ArchiveLimits { entries: 50_000, bytes: 512 << 20, ..ArchiveLimits::SOURCE };
/// Before the name of one that is not whole yet.
const COMING: &str = ".coming-";
/// What a kill left of one goes after this long.
const COMING_AGE: Duration = Duration::from_secs(60 * 60);

/// An archive that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirrored {
    /// SHA-256 in hexadecimal.
    pub(crate) digest: String,
    pub(crate) size_bytes: u64,
}

/// Why it is not, in words for the user.
type Fetched = std::result::Result<Mirrored, String>;

/// The archives of this server.
pub(crate) struct Mirror {
    folder: PathBuf,
    outbound: Outbound,
    /// Who asks for what somebody else is fetching gets the same.
    coming: Mutex<HashMap<String, Arc<OnceCell<Fetched>>>>,
}

impl Mirror {
    pub(crate) fn new(folder: PathBuf, outbound: Outbound) -> Self {
        Self { folder, outbound, coming: Mutex::default() }
    }

    /// Fetches what is at an address now.
    pub(crate) async fn fetch(&self, url: &str) -> Fetched {
        let cell = Arc::clone(self.coming().entry(url.to_owned()).or_default());
        let fetched = cell.get_or_init(|| self.fetched(url)).await.clone();
        let mut coming = self.coming();
        if coming.get(url).is_some_and(|one| Arc::ptr_eq(one, &cell)) {
            coming.remove(url);
        }
        fetched
    }

    fn coming(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<OnceCell<Fetched>>>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetched(&self, url: &str) -> Fetched {
        let begun = tokio::time::Instant::now();
        let path = self.new_place().map_err(|error| format!("it could not be written: {error}"))?;
        let mut tried = 0;
        let saved = loop {
            tried += 1;
            let left = LIMITS.time_max.saturating_sub(begun.elapsed());
            match self.save(url, FetchLimits { time_max: left, ..LIMITS }, &path).await {
                Err(Trouble::Outbound(OutboundError::Http { .. } | OutboundError::Connect { .. }))
                    if tried < TRIES => {}
                saved => break saved,
            }
        };
        let kept = match saved {
            Ok(()) => self.take(path.clone()).await,
            Err(Trouble::Outbound(error)) => Err(chain(&error)),
            Err(Trouble::Disk(error)) => Err(format!("it could not be written: {error}")),
        };
        if kept.is_err() {
            let _ = durable!("buildpack.rest_removed", tokio::fs::remove_file(&path).await);
        }
        kept
    }

    fn new_place(&self) -> io::Result<PathBuf> {
        std::fs::create_dir_all(&self.folder)?;
        Ok(self.folder.join(format!("{COMING}{}", Uuid::new_v4())))
    }

    async fn save(&self, url: &str, limits: FetchLimits, path: &Path) -> std::result::Result<(), Trouble> {
        let mut body = self.outbound.get(url, limits).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "nobody names it before it is whole, and the sweep removes it"
        )]
        let mut file = tokio::fs::File::create(path).await?;
        while let Some(chunk) = body.chunk().await? {
            file.write_all(&chunk).await?;
        }
        Ok(file.sync_all().await?)
    }

    /// Takes a file of this folder in, if it is the archive of something.
    async fn take(&self, path: PathBuf) -> Fetched {
        let folder = self.folder.clone();
        let taken = tokio::task::spawn_blocking(move || take(&folder, &path)).await;
        taken.unwrap_or_else(|error| Err(format!("it could not be looked at: {error}")))
    }

    /// Copies an archive of the operator's in.
    pub(crate) async fn put(&self, file: File) -> Fetched {
        let path = self.new_place().map_err(|error| format!("it could not be copied: {error}"))?;
        let to = path.clone();
        let copied = tokio::task::spawn_blocking(move || copy(file, &to)).await;
        let kept = match copied {
            Ok(Ok(())) => self.take(path.clone()).await,
            Ok(Err(error)) => Err(format!("it could not be copied: {error}")),
            Err(error) => Err(format!("it could not be copied: {error}")),
        };
        if kept.is_err() {
            let _ = durable!("buildpack.copy_removed", tokio::fs::remove_file(&path).await);
        }
        kept
    }

    /// Whether an archive is there, with the bytes that its name promises; it counts as used now. What has others goes.
    pub(crate) async fn has(&self, digest: &str) -> bool {
        let path = self.folder.join(digest);
        let wanted = digest.to_owned();
        let looked = tokio::task::spawn_blocking(move || is_sound(&path, &wanted)).await;
        looked.is_ok_and(|sound| sound)
    }

    /// Removes archives that were last used before `age` and that `is_kept` does not want, and what is left of fetches. Which.
    pub(crate) async fn sweep(
        &self,
        age: Duration,
        is_kept: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Vec<String>> {
        let folder = self.folder.clone();
        let swept = tokio::task::spawn_blocking(move || sweep(&folder, age, is_kept)).await;
        let failed = |error: io::Error| Error::internal("remove archives of buildpacks", error);
        swept.map_err(|error| Error::internal("remove archives of buildpacks", error))?.map_err(failed)
    }
}

/// Why an archive was not saved.
enum Trouble {
    Outbound(OutboundError),
    Disk(io::Error),
}

impl From<OutboundError> for Trouble {
    fn from(error: OutboundError) -> Self {
        Self::Outbound(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

fn copy(mut file: File, to: &Path) -> io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "nobody names it before it is whole, and the sweep removes it"
    )]
    let mut new = File::create(to)?;
    let copied = io::copy(&mut (&mut file).take(LIMITS.bytes_max + 1), &mut new)?;
    if copied > LIMITS.bytes_max {
        return Err(io::Error::other(format!("it has more than {} MB", LIMITS.bytes_max >> 20)));
    }
    new.sync_all()
}

fn take(folder: &Path, path: &Path) -> Fetched {
    let disk = |error: io::Error| format!("it could not be kept: {error}");
    let summary = check_source_archive(File::open(path).map_err(disk)?, &ARCHIVE).map_err(|error| {
        let text = chain(&error);
        format!("it is no archive of a buildpack: {}", text.strip_prefix("source archive: ").unwrap_or(&text))
    })?;
    if !summary.is_gzip {
        return Err("it is no archive of a buildpack: it is not compressed by gzip".to_owned());
    }
    let digest = digest_of(path).map_err(disk)?;
    let size_bytes = path.metadata().map_err(disk)?.len();
    std::fs::set_permissions(path, Permissions::from_mode(0o444)).map_err(disk)?;
    durable!("buildpack.archive_kept", std::fs::rename(path, folder.join(&digest))).map_err(disk)?;
    Ok(Mirrored { digest, size_bytes })
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn is_sound(path: &Path, wanted: &str) -> bool {
    let Ok(found) = digest_of(path) else { return false };
    if found != wanted {
        tracing::error!("the archive of a buildpack {wanted} has other bytes by now, and is removed");
        let _ = durable!("buildpack.archive_removed", std::fs::remove_file(path));
        return false;
    }
    // That it was used is for the sweep alone.
    let _ = File::open(path).and_then(|file| file.set_modified(machine_time()));
    true
}

fn sweep(folder: &Path, age: Duration, is_kept: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let before = |age| machine_time().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut removed = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_rest = name.starts_with(COMING);
        let limit = before(if is_rest { COMING_AGE } else { age });
        let is_old = entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|used| used < limit);
        if is_old && (is_rest || !is_kept(&name)) {
            durable!("buildpack.archive_swept", std::fs::remove_file(entry.path()))?;
            if !is_rest {
                removed.push(name);
            }
        }
    }
    Ok(removed)
}
