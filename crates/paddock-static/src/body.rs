//! The body of an answer, read piece by piece as the client takes it.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// What is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A file, or a part of it, as it is sent.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    left: u64,
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Held while it is compressed.
    _place: Option<OwnedSemaphorePermit>,
}

impl Reader {
    /// From `first` on, `length` bytes.
    pub(crate) fn plain(mut file: File, first: u64, length: u64) -> io::Result<Self> {
        if first > 0 {
            file.seek(SeekFrom::Start(first))?;
        }
        Ok(Self { file, left: length, gzip: None, _place: None })
    }

    /// All of it, compressed.
    pub(crate) fn gzip(file: File, length: u64, place: OwnedSemaphorePermit) -> Self {
        let gzip = GzEncoder::new(Vec::new(), Compression::new(6));
        Self { file, left: length, gzip: Some(gzip), _place: Some(place) }
    }

    /// The next piece; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let mut piece = vec![0; usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
            let length = if piece.is_empty() { 0 } else { self.file.read(&mut piece)? };
            piece.truncate(length);
            self.left -= length as u64;
            if length == 0 && self.left > 0 {
                return Err(io::Error::other("the file got shorter"));
            }
            let Some(mut encoder) = self.gzip.take() else {
                return Ok((length > 0).then(|| piece.into()));
            };
            if length == 0 {
                return Ok(Some(encoder.finish()?.into()));
            }
            encoder.write_all(&piece)?;
            let compressed = std::mem::take(encoder.get_mut());
            self.gzip = Some(encoder);
            if !compressed.is_empty() {
                return Ok(Some(compressed.into()));
            }
        }
    }
}

/// Reads beside the connections, so that a slow disk holds up one client alone.
#[derive(Debug)]
pub(crate) enum FileBody {
    Ended,
    Text(Bytes),
    Waiting(Box<Reader>),
    Reading(JoinHandle<(Box<Reader>, io::Result<Option<Bytes>>)>),
}

impl FileBody {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn file(reader: Reader) -> Self {
        Self::Waiting(Box::new(reader))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(this, Self::Ended) {
                Self::Ended => return Poll::Ready(None),
                Self::Text(text) => {
                    return Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))));
                }
                Self::Waiting(mut reader) => {
                    *this = Self::Reading(tokio::task::spawn_blocking(move || {
                        let piece = reader.next();
                        (reader, piece)
                    }));
                }
                Self::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
                        *this = Self::Reading(reading);
                        return Poll::Pending;
                    };
                    let (reader, piece) = read.map_err(io::Error::other)?;
                    let Some(piece) = piece? else { return Poll::Ready(None) };
                    *this = Self::Waiting(reader);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Ended)
    }
}
