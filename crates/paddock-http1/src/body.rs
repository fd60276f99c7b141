//! Where a body ends.

use bytes::{BufMut, BytesMut};

use crate::Fields;
use crate::chunks::{Chunks, Malformed};

/// A body, as far as it was read.
#[derive(Debug)]
pub enum Body {
    /// There is none.
    Empty,
    /// So many bytes are left of it.
    Length(u64),
    /// In chunks.
    Chunked(Box<Chunks>),
    /// It ends with its connection.
    Close,
}

impl Body {
    pub(crate) fn of_length(length: u64) -> Self {
        if length == 0 { Self::Empty } else { Self::Length(length) }
    }

    pub(crate) fn chunked() -> Self {
        Self::Chunked(Box::new(Chunks::new()))
    }

    /// Moves what is in `from` of the body's data to the end of `data`. Bytes after the body stay. Whether it is to be
    /// called again for what is there already, after others had their turn.
    ///
    /// # Errors
    /// When the chunks are none.
    pub fn take(&mut self, from: &mut BytesMut, data: &mut BytesMut) -> Result<bool, Malformed> {
        let piece = match self {
            Self::Empty => return Ok(false),
            Self::Chunked(chunks) => return chunks.take(from, data),
            Self::Close => from.split(),
            Self::Length(left) => {
                let piece = from.split_to(usize::try_from(*left).unwrap_or(usize::MAX).min(from.len()));
                *left -= piece.len() as u64;
                piece
            }
        };
        if data.is_empty() {
            *data = piece;
        } else {
            data.extend_from_slice(&piece);
        }
        Ok(false)
    }

    /// Whether all of it was taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Empty | Self::Length(0) => true,
            Self::Chunked(chunks) => chunks.is_complete(),
            Self::Length(_) | Self::Close => false,
        }
    }

    /// The connection ended: whether the body may end with it.
    #[must_use]
    pub fn ends_with_connection(&self) -> bool {
        matches!(self, Self::Close) || self.is_complete()
    }

    /// What came after the last chunk, once it is complete.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        match self {
            Self::Chunked(chunks) => Some(chunks.trailers()).filter(|trailers| !trailers.is_empty()),
            _ => None,
        }
    }
}

/// Writes data as one chunk; no data is no chunk.
pub fn write_chunk(data: &[u8], out: &mut BytesMut) {
    if data.is_empty() {
        return;
    }
    let size = format!("{:x}\r\n", data.len());
    out.reserve(size.len() + data.len() + 2);
    out.put_slice(size.as_bytes());
    out.put_slice(data);
    out.put_slice(b"\r\n");
}

/// Writes the end of a chunked body. Of the trailers, those are left out that would say something of the message: they
/// come too late for that.
pub fn write_last_chunk(trailers: Option<&Fields>, out: &mut BytesMut) {
    const TOO_LATE: [&str; 8] = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "set-cookie",
        "trailer",
        "transfer-encoding",
    ];
    out.put_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        let mut trailers = trailers.clone();
        TOO_LATE.iter().for_each(|name| trailers.remove(name));
        trailers.write(out);
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_body_ends_where_it_says() {
        for (mut body, data, rest, is_complete) in [
            (Body::of_length(0), "", "abc0\r\n\r\n", true),
            (Body::of_length(3), "abc", "0\r\n\r\n", true),
            (Body::of_length(99), "abc0\r\n\r\n", "", false),
            (Body::Close, "abc0\r\n\r\n", "", false),
        ] {
            let (mut from, mut taken) = (BytesMut::from("abc0\r\n\r\n"), BytesMut::from(""));
            body.take(&mut from, &mut taken).unwrap();
            assert_eq!((&taken[..], &from[..]), (data.as_bytes(), rest.as_bytes()), "{body:?}");
            assert_eq!(body.is_complete(), is_complete, "{body:?}");
        }
        assert!(Body::Close.ends_with_connection() && !Body::Length(1).ends_with_connection());
    }

    #[test]
    fn what_is_written_as_chunks_is_read_from_them() {
        let mut out = BytesMut::new();
        write_chunk(b"some data", &mut out);
        write_chunk(b"", &mut out);
        write_chunk(&[b'x'; 300], &mut out);
        let mut trailers = Fields::default();
        trailers.push("A", Bytes::from_static(b"b"));
        let mut sent = trailers.clone();
        sent.push("Content-length", "5");
        write_last_chunk(Some(&sent), &mut out);
        assert!(out.starts_with(b"9\r\nsome data\r\n12c\r\nxxx"));
        let (mut body, mut data) = (Body::chunked(), BytesMut::new());
        body.take(&mut out, &mut data).unwrap();
        assert!(body.is_complete() && out.is_empty());
        assert_eq!((data.len(), body.trailers()), (309, Some(&trailers)));
    }
}
