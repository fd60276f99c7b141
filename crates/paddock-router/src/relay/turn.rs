//! Fair turns. Whoever sends without pause is read a piece at a time, and after a few pieces the other connections of
//! the thread come first, whatever it is that was sent.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a turn.
const TURN: usize = 16 * 1024;
/// What a call costs however few bytes it moves.
const CALL: usize = 2 * 1024;

/// A stream that is read in turns.
pub(crate) struct Paced<T> {
    stream: T,
    /// What is left of this turn.
    left: usize,
}

impl<T> Paced<T> {
    pub(crate) fn new(stream: T) -> Self {
        Self { stream, left: TURN }
    }

    pub(crate) fn get_ref(&self) -> &T {
        &self.stream
    }

    /// Ready unless the turn is over: then the task is called again after the others.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left > 0 {
            return Poll::Ready(());
        }
        self.left = TURN;
        // Not woken at once but after the others, and after those whose bytes have come meanwhile.
        pin!(tokio::task::yield_now()).poll(cx)
    }

    /// Counts what a call has moved; one that waits begins a new turn.
    fn count<R>(
        &mut self,
        moved: Poll<io::Result<R>>,
        bytes: impl FnOnce(&R) -> usize,
    ) -> Poll<io::Result<R>> {
        self.left = match &moved {
            Poll::Ready(Ok(moved)) => self.left.saturating_sub(bytes(moved).max(CALL)),
            Poll::Ready(Err(_)) => self.left,
            Poll::Pending => TURN,
        };
        moved
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_turn(cx));
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.count(read, |()| buf.filled().len() - before)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_turn(cx));
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.count(written, |written| *written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_turn(cx));
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.count(written, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// How much one call of the task moves, at most.
    async fn moved_at_once(work: impl AsyncFn(&std::cell::Cell<usize>)) -> usize {
        let moved = std::cell::Cell::new(0);
        let (mut most, mut before) = (0, 0);
        let mut work = pin!(work(&moved));
        std::future::poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            most = most.max(moved.get() - before);
            before = moved.get();
            polled
        })
        .await;
        most
    }

    #[tokio::test]
    async fn a_stream_without_end_is_read_and_written_in_turns() {
        for piece in [1, 100, 4096, 16 * 1024] {
            let calls = 100;
            let read = moved_at_once(async |moved| {
                let mut stream = Paced::new(tokio::io::repeat(b'x'));
                let mut buffer = vec![0; piece];
                for _ in 0..calls {
                    moved.set(moved.get() + stream.read(&mut buffer).await.unwrap());
                }
            });
            let written = moved_at_once(async |moved| {
                let mut stream = Paced::new(tokio::io::sink());
                let buffer = vec![0; piece];
                for _ in 0..calls {
                    moved.set(moved.get() + stream.write(&buffer).await.unwrap());
                }
            });
            let most = (TURN.div_ceil(piece.max(CALL))) * piece;
            assert_eq!((read.await, written.await), (most, most), "pieces of {piece}");
        }
    }
}
