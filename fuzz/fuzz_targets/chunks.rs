//! A chunked body has the same data in whatever pieces it comes, and again when it is passed on.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use paddock_http1::{Body, Progress, RequestReader, write_chunk, write_last_chunk};

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let Some((data, rest)) = read(bytes, usize::from(piece) + 1) else { return };
    assert_eq!(read(bytes, bytes.len().max(1)), Some((data.clone(), rest)));
    let mut written = BytesMut::new();
    write_chunk(&data, &mut written);
    write_last_chunk(None, &mut written);
    assert_eq!(read(&written, written.len()), Some((data, BytesMut::new())));
});

fn chunked() -> Body {
    let mut head = BytesMut::from("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    let Progress::Done(Ok(request)) = RequestReader::default().take(&mut head) else { panic!("a head") };
    request.body().expect("a chunked body")
}

/// The data and what follows the body; `None` when it is malformed or not complete.
fn read(bytes: &[u8], piece: usize) -> Option<(BytesMut, BytesMut)> {
    let (mut body, mut from, mut data) = (chunked(), BytesMut::new(), BytesMut::new());
    for piece in bytes.chunks(piece) {
        from.extend_from_slice(piece);
        while body.take(&mut from, &mut data).ok()? {}
    }
    body.is_complete().then_some((data, from))
}
