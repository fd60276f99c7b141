//! The header in front of a connection: what is read of it is the same when written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_ipc::proxy_header::{Connection, Head, NoHeader, encode};

fuzz_target!(|bytes: &[u8]| {
    let Ok(connection) = read(bytes) else { return };
    if let Some((peer, local)) = connection.addresses {
        let again = encode(peer, local, connection.tls.then_some("TLSv1.3"));
        assert_eq!(read(&again), Ok(connection));
    }
});

fn read(bytes: &[u8]) -> Result<Connection, NoHeader> {
    let (head, rest) = bytes.split_first_chunk().ok_or(NoHeader)?;
    let head = Head::parse(head)?;
    head.connection(rest.get(..head.rest()).ok_or(NoHeader)?)
}
