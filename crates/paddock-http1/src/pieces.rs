//! Messages that come in pieces, for the tests of heads.

use bytes::BytesMut;

use crate::Progress;

/// What `take` reads and what follows it; the bytes come in pieces of `piece`. `None` when it is not complete.
pub(crate) fn read<T>(
    bytes: &[u8],
    piece: usize,
    mut take: impl FnMut(&mut BytesMut) -> Progress<T>,
) -> Option<(T, BytesMut)> {
    let mut buffer = BytesMut::new();
    let mut done = None;
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        if done.is_none()
            && let Progress::Done(read) = take(&mut buffer)
        {
            done = Some(read);
        }
    }
    Some((done?, buffer))
}
