//! The source of a build that lies elsewhere: fetched by the build job, under the outbound rule.
//!
//! Its address may hold a signature or a password, so it is the job's secret; the build's row has what may be shown of
//! it. A crash in the middle fails the build as in any other of its steps, and a cancelled build drops the connection.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use paddock_build::BuildLog;
use paddock_core::JobId;
use paddock_outbound::{FetchLimits, Fetched, OutboundError};
use paddock_store::Build;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::deploy::Deploy;
use crate::kernel::error::chain;
use crate::{Error, Result};

/// What fetching a source may cost. The bytes are those of an upload.
const LIMITS: FetchLimits = FetchLimits {
    bytes_max: 1024 * 1024 * 1024,
    time_max: Duration::from_secs(10 * 60),
    idle_max: Duration::from_secs(30),
};
/// After how many more bytes the output says how far it is.
const PROGRESS_EVERY: u64 = 25 * 1024 * 1024;

/// Fetches the source of a build into a new file, and says in the build's output how it goes.
///
/// # Errors
/// `invalid_params` with a sentence for the output when the address, or who answers there, is at fault.
pub(crate) async fn fetch(
    deploy: &Deploy,
    build: &Build,
    job: JobId,
    file: &Path,
    log: &BuildLog,
) -> Result<()> {
    let url = deploy.kernel.store.job_secret(job).await?;
    let url = url.ok_or_else(|| Error::internal("read where a source lies", "its job does not say"))?;
    say(log, format!("-----> Fetching source from {}\n", build.source)).await;
    let mut fetched = deploy.outbound.get(&url, LIMITS).await.map_err(refused)?;
    if fetched.shown() != build.source {
        say(log, format!("       Redirected to {}\n", fetched.shown())).await;
    }
    let bytes = save(&mut fetched, file, log).await?;
    say(log, format!("       Done: {}\n", megabytes(bytes))).await;
    Ok(())
}

async fn save(fetched: &mut Fetched, path: &Path, log: &BuildLog) -> Result<u64> {
    let disk = |error: std::io::Error| Error::internal("write a fetched source", error);
    // A try before this one may have left its beginning.
    #[expect(
        clippy::disallowed_methods,
        reason = "in the source of a build, which a crash fails or makes anew"
    )]
    let mut file = File::create(path).await.map_err(disk)?;
    let (mut bytes, mut told) = (0_u64, 0_u64);
    while let Some(chunk) = fetched.chunk().await.map_err(refused)? {
        file.write_all(&chunk).await.map_err(disk)?;
        bytes += chunk.len() as u64;
        if bytes >= told + PROGRESS_EVERY {
            told = bytes;
            let of = fetched.length().map_or_else(String::new, |all| format!(" of {}", megabytes(all)));
            say(log, format!("       {}{of}\n", megabytes(bytes))).await;
        }
    }
    file.flush().await.map_err(disk)?;
    Ok(bytes)
}

/// The sentence for the user. What lies below it (the kernel's word on a connection) says more than it gives away.
fn refused(error: OutboundError) -> Error {
    Error::invalid(format!("The source could not be fetched: {}", chain(&error)))
}

async fn say(log: &BuildLog, text: String) {
    // Nobody needs to read for the build to go on.
    let _ = log.send(Bytes::from(text)).await;
}

fn megabytes(bytes: u64) -> String {
    // Tenths, rounded up: what is there is never 0.0M.
    let tenths = bytes.saturating_mul(10).div_ceil(1024 * 1024);
    format!("{}.{}M", tenths / 10, tenths % 10)
}
