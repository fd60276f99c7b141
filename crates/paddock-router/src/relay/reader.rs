//! A stream that is read a piece at a time, and what was read of it ahead.

use std::io;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a piece.
const PIECE: usize = 16 * 1024;
/// Bytes of the first piece of something: most heads are shorter, and most connections are idle.
const FIRST_PIECE: usize = 4 * 1024;

pub(crate) struct Reader<R> {
    from: R,
    /// What was read and not yet used.
    pub(crate) buffer: BytesMut,
}

impl<R> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, buffer: BytesMut::new() }
    }

    pub(crate) fn get_ref(&self) -> &R {
        &self.from
    }

    pub(crate) fn into_parts(self) -> (R, BytesMut) {
        (self.from, self.buffer)
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads a further piece into the buffer: how many bytes, 0 at the end. Nothing is lost when it is given up.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        let piece = if self.buffer.capacity() == 0 { FIRST_PIECE } else { PIECE };
        self.buffer.reserve(piece);
        match self.from.read_buf(&mut (&mut self.buffer).limit(piece)).await {
            // TLS that ends without its goodbye: an end all the same, the bytes before it count.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}
