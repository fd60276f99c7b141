//! A request that is taken is read the same way again when it is passed on, in whatever pieces it comes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use paddock_http1::{Body, Progress, Request, RequestReader};

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let Some((request, rest)) = read(bytes, usize::from(piece) + 1) else { return };
    let whole = read(bytes, bytes.len().max(1)).expect("it is complete in pieces");
    assert_eq!((&request, &rest[..]), (&whole.0, &whole.1[..]));
    let Some(request) = request else { return };
    // Nothing in it can be taken for the end of a line, or for another field.
    let parts = request.fields.iter().flat_map(|field| [&field.name, &field.value]);
    for part in parts.chain([&request.method, &request.target]) {
        assert!(!part.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    let mut written = BytesMut::new();
    request.write(&mut written);
    let (again, rest) = read(&written, written.len()).expect("a whole head");
    assert!(rest.is_empty());
    assert_eq!(again.as_ref(), Some(&request));
    if let Ok(body) = request.body() {
        assert!(!matches!(body, Body::Close), "no request ends with its connection");
        let framings = ["content-length", "transfer-encoding"].map(|name| request.fields.contains(name));
        assert_ne!(framings, [true, true]);
    }
    let _ = (request.form(), request.host());
});

/// The request, unless it is refused, and what follows it; `None` when more bytes are needed.
fn read(bytes: &[u8], piece: usize) -> Option<(Option<Request>, BytesMut)> {
    let (mut reader, mut buffer) = (RequestReader::default(), BytesMut::new());
    let mut done = None;
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        if done.is_none()
            && let Progress::Done(read) = reader.take(&mut buffer)
        {
            done = Some(read.ok());
        }
    }
    let done = done?;
    // How much of a refused request was looked at depends on the pieces.
    Some((done.clone(), if done.is_some() { buffer } else { BytesMut::new() }))
}
