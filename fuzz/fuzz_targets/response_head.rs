//! A response that is taken is read the same way again when it is passed on, in whatever pieces it comes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use paddock_http1::{Progress, Response, ResponseReader, Version};

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let Some(response) = read(bytes, usize::from(piece) + 1) else { return };
    assert_eq!(read(bytes, bytes.len().max(1)).as_ref(), Some(&response));
    let Some(mut response) = response else { return };
    assert!((100..1000).contains(&response.status));
    let _ = (response.body(false), response.body(true), response.keeps_alive());
    let mut written = BytesMut::new();
    response.write(&mut written);
    response.version = Version::Http11;
    assert_eq!(read(&written, written.len()), Some(Some(response)));
});

/// The response, unless it is refused; `None` when more bytes are needed.
fn read(bytes: &[u8], piece: usize) -> Option<Option<Response>> {
    let (mut reader, mut buffer) = (ResponseReader::default(), BytesMut::new());
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        if let Progress::Done(read) = reader.take(&mut buffer) {
            return Some(read.ok());
        }
    }
    None
}
