//! The PROXY protocol, version 2: how the router says who the client is and whether it came over TLS.
//!
//! The header is binary and comes before the first byte of the client, so a client cannot send one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::client::Client;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// More than the largest header the router sends.
const LENGTH_MAX: usize = 4096;
const TLV_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

/// Reads the header and nothing after it.
///
/// # Errors
/// When the connection does not begin with one.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Client> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if head[..12] != SIGNATURE || head[12] >> 4 != 2 || length > LENGTH_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no PROXY v2 header"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    parse(head[12] & 0x0f, head[13], &body)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "PROXY v2 header is cut"))
}

fn parse(command: u8, family: u8, body: &[u8]) -> Option<Client> {
    let (addresses, options) = match family >> 4 {
        1 => (Some(v4(body)?), body.get(12..)?),
        2 => (Some(v6(body)?), body.get(36..)?),
        3 => (None, body.get(216..)?),
        _ => (None, body),
    };
    // LOCAL (0) is the router's own connection: its addresses mean nothing.
    let (address, local) = addresses.filter(|_| command == 1).unzip();
    Some(Client { address, local, tls: over_tls(options)? })
}

/// Source and destination.
fn v4(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |at: usize| Some(IpAddr::V4(Ipv4Addr::from(*body.get(at..)?.first_chunk::<4>()?)));
    Some((
        SocketAddr::new(ip(0)?, port(body.get(8..10)?)?),
        SocketAddr::new(ip(4)?, port(body.get(10..12)?)?),
    ))
}

fn v6(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |at: usize| Some(IpAddr::V6(Ipv6Addr::from(*body.get(at..)?.first_chunk::<16>()?)));
    Some((
        SocketAddr::new(ip(0)?, port(body.get(32..34)?)?),
        SocketAddr::new(ip(16)?, port(body.get(34..36)?)?),
    ))
}

fn port(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn over_tls(mut options: &[u8]) -> Option<bool> {
    while let [kind, high, low, rest @ ..] = options {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let value = rest.get(..length)?;
        if *kind == TLV_SSL {
            return Some(value.first().is_some_and(|client| client & CLIENT_SSL != 0));
        }
        options = &rest[length..];
    }
    options.is_empty().then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn read_all(bytes: &[u8]) -> io::Result<Client> {
        futures_util::FutureExt::now_or_never(read(&mut &bytes[..])).expect("a slice never waits")
    }

    #[test]
    fn address_and_tls_are_read() {
        let v4 = [192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x34, 0, 80];
        let plain = read_all(&header(1, 0x11, &v4)).unwrap();
        assert_eq!((plain.address.unwrap().to_string().as_str(), plain.tls), ("192.0.2.7:4660", false));
        assert_eq!(plain.local.unwrap().to_string(), "127.0.0.1:80");
        let mut with_tls = v4.to_vec();
        with_tls.extend([0x04, 0, 1, 9, 0x20, 0, 5, 1, 0, 0, 0, 0]);
        assert!(read_all(&header(1, 0x11, &with_tls)).unwrap().tls);
        let mut v6 = vec![0; 36];
        v6[15] = 1;
        assert_eq!(read_all(&header(1, 0x21, &v6)).unwrap().address.unwrap().to_string(), "[::1]:0");
        assert_eq!(read_all(&header(0, 0, &[])).unwrap().address, None);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert!(read_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_err());
        assert!(read_all(&header(1, 0x11, &[0; 11])).is_err());
        assert!(read_all(&header(1, 0x11, &[0; 14])).is_err(), "half an option");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(command: u8, family: u8, body: Vec<u8>) {
            let _ = parse(command & 0x0f, family, &body);
        }
    }
}
