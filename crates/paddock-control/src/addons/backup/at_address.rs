//! A dump that lies at an address: fetched under the outbound rule, and looked at from its first bytes on.

use std::path::Path;
use std::time::Duration;

use paddock_core::{JobId, TransferId};
use paddock_outbound::{FetchLimits, Fetched, OutboundError};
use tokio::io::AsyncWriteExt as _;

use super::super::Addons;
use super::dump::MAGIC;
use super::run::{Outcome, Trouble};
use super::store::{blocking, readable_file};
use crate::kernel::error::chain;

/// What somebody is told whose dump is none.
pub(super) const NO_DUMP: &str = "This is no dump that can be restored, and nothing was changed. \
    Make one in the custom format: pg_dump -Fc --no-acl --no-owner.";
const TIME_MAX: Duration = Duration::from_secs(6 * 60 * 60);
const IDLE_MAX: Duration = Duration::from_secs(30);
/// No dump is refused for its size that is smaller.
const BYTES_MIN: u64 = 1 << 30;
/// After how many more bytes it is noted how far it is.
const PROGRESS_EVERY: u64 = 16 << 20;

impl Addons {
    /// Fetches a dump to a new file. How many bytes it has.
    pub(super) async fn fetch_dump(
        &self,
        transfer: TransferId,
        job: JobId,
        to: &Path,
        storage_bytes: u64,
    ) -> Outcome<u64> {
        let url = self.kernel.store.job_secret(job).await?;
        let url = url.ok_or_else(|| Trouble::host("read where a dump lies", "its job does not say"))?;
        // Compressed, it is smaller than the database that it is for.
        let bytes_max = storage_bytes.max(BYTES_MIN);
        let limits = FetchLimits { bytes_max, time_max: TIME_MAX, idle_max: IDLE_MAX };
        let shown = paddock_outbound::shown(&url).unwrap_or_default();
        self.tell(transfer, &format!("Fetching {shown}")).await?;
        let mut fetched = self.outbound.get(&url, limits).await.map_err(refused)?;
        let path = to.to_owned();
        let file = blocking(move || readable_file(&path)).await;
        let file = file.map_err(|error| Trouble::host("make a file for a dump", error))?;
        self.save(transfer, &mut fetched, tokio::fs::File::from_std(file)).await
    }

    async fn save(
        &self,
        transfer: TransferId,
        fetched: &mut Fetched,
        mut file: tokio::fs::File,
    ) -> Outcome<u64> {
        let disk = |error: std::io::Error| Trouble::host("write a fetched dump", error);
        let (mut bytes, mut told) = (0_u64, 0_u64);
        let mut beginning = Vec::new();
        while let Some(chunk) = fetched.chunk().await.map_err(refused)? {
            if beginning.len() < MAGIC.len() {
                beginning.extend_from_slice(chunk.get(..chunk.len().min(512)).unwrap_or_default());
                if beginning.len() >= MAGIC.len() && !beginning.starts_with(MAGIC) {
                    return Err(Trouble::Told(what_it_is(&beginning)));
                }
            }
            file.write_all(&chunk).await.map_err(disk)?;
            bytes += chunk.len() as u64;
            if bytes >= told + PROGRESS_EVERY {
                told = bytes;
                let mut tx = self.kernel.record("note how far a transfer is").await?;
                tx.note_transfer_progress(transfer, i64::try_from(bytes).unwrap_or(i64::MAX)).await?;
                tx.commit_quietly("transfer.fetch_noted").await?;
            }
        }
        file.flush().await.map_err(disk)?;
        match beginning.starts_with(MAGIC) {
            true => Ok(bytes),
            false => Err(Trouble::Told(what_it_is(&beginning))),
        }
    }
}

/// The sentence for the user.
fn refused(error: OutboundError) -> Trouble {
    Trouble::Told(format!("The dump could not be fetched, and nothing was changed: {}", chain(&error)))
}

/// What lies there instead of a dump.
fn what_it_is(beginning: &[u8]) -> String {
    let text = String::from_utf8_lossy(beginning).trim_start().to_ascii_lowercase();
    let found = if beginning.is_empty() {
        "nothing"
    } else if text.starts_with("<!doctype") || text.starts_with("<html") {
        "a web page"
    } else if beginning.starts_with(&[0x1f, 0x8b]) {
        "something compressed by gzip"
    } else if beginning.starts_with(b"PK") {
        "a zip archive"
    } else if text.starts_with("--") || text.starts_with("set ") || text.starts_with("create ") {
        "SQL as text"
    } else {
        "something else"
    };
    format!("At the address lies {found}. {NO_DUMP}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_dump_is_named() {
        for (bytes, expected) in [
            (&b""[..], "nothing"),
            (b"\n<!DOCTYPE html><html>", "a web page"),
            (b"\x1f\x8b\x08\x00", "gzip"),
            (b"PK\x03\x04", "zip"),
            (b"--\n-- PostgreSQL database dump\n--", "SQL as text"),
            (b"\x00\x01\x02", "something else"),
        ] {
            assert!(what_it_is(bytes).contains(expected), "{expected}: {}", what_it_is(bytes));
        }
    }
}
