//! Bytes both ways until both sides have ended, one fails, or neither says anything for too long.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::dyno::clock;

const BUFFER_BYTES: usize = 16 * 1024;

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// Both sides ended, or one of them broke off.
    Closed,
    /// Neither side said anything for too long.
    Idle,
}

/// Copies both ways. The end of one direction is passed on and leaves the other open. `down` counts the bytes from
/// `server` to `client`.
pub(crate) async fn run<C, S>(client: C, server: S, idle: Duration, down: &AtomicU64) -> TunnelEnd
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (client_read, client_write) = tokio::io::split(client);
    let (server_read, server_write) = tokio::io::split(server);
    let last = AtomicU64::new(clock());
    let up = AtomicU64::new(0);
    let both = async {
        tokio::try_join!(
            copy(client_read, server_write, &last, &up),
            copy(server_read, client_write, &last, down),
        )
    };
    tokio::select! {
        _ = both => TunnelEnd::Closed,
        () = silence(&last, idle) => TunnelEnd::Idle,
    }
}

async fn copy<R, W>(mut from: R, mut to: W, last: &AtomicU64, count: &AtomicU64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) => return to.shutdown().await,
            // TLS that ends without its goodbye: an end all the same, the bytes before it count.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return to.shutdown().await,
            Ok(read) => read,
            Err(error) => return Err(error),
        };
        last.store(clock(), Ordering::Relaxed);
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
        last.store(clock(), Ordering::Relaxed);
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}

async fn silence(last: &AtomicU64, idle: Duration) {
    loop {
        let silent_for = Duration::from_millis(clock().saturating_sub(last.load(Ordering::Relaxed)));
        let left = idle.saturating_sub(silent_for);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}
