//! Bytes both ways until both sides have ended, one fails, or neither says anything for too long.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::clock::clock;
use crate::relay::reader::Reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// Both sides ended, or one of them broke off.
    Closed,
    /// Neither side said anything for too long.
    Idle,
}

/// One side of a tunnel: what it is read from and written to.
pub(crate) type Side<'a, R, W> = (&'a mut Reader<R>, &'a mut W);

/// Copies both ways. The end of one direction is passed on and leaves the other open. `down` counts the bytes from
/// `server` to `client`.
pub(crate) async fn run<CR, CW, SR, SW>(
    client: Side<'_, CR, CW>,
    server: Side<'_, SR, SW>,
    idle: Duration,
    down: &AtomicU64,
) -> TunnelEnd
where
    CR: AsyncRead + Unpin,
    CW: AsyncWrite + Unpin,
    SR: AsyncRead + Unpin,
    SW: AsyncWrite + Unpin,
{
    let last = AtomicU64::new(clock());
    let up = AtomicU64::new(0);
    let both = async {
        tokio::try_join!(copy(client.0, server.1, &last, &up), copy(server.0, client.1, &last, down))
    };
    tokio::select! {
        _ = both => TunnelEnd::Closed,
        () = silence(&last, idle) => TunnelEnd::Idle,
    }
}

async fn copy<R, W>(from: &mut Reader<R>, to: &mut W, last: &AtomicU64, count: &AtomicU64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let piece = from.buffer.split();
        if !piece.is_empty() {
            to.write_all(&piece).await?;
            to.flush().await?;
            count.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        drop(piece);
        last.store(clock(), Ordering::Relaxed);
        if from.fill().await? == 0 {
            return to.shutdown().await;
        }
        last.store(clock(), Ordering::Relaxed);
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
