//! The PROXY protocol header (version 2) in front of each connection to `serve`: where the client really is, and
//! whether it came by TLS. No client can send it, so `serve` may believe it.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const TYPE_SSL: u8 = 0x20;
const SUBTYPE_SSL_VERSION: u8 = 0x21;
const CLIENT_SSL: u8 = 0x01;
/// Not zero: no client certificate was verified.
const UNVERIFIED: u32 = 1;

/// The header for a connection of `peer` to `local`; `tls_version` as `TLSv1.3`.
pub(crate) fn encode(peer: SocketAddr, local: SocketAddr, tls_version: Option<&str>) -> Vec<u8> {
    let mut rest = Vec::with_capacity(64);
    let family = addresses(&mut rest, peer, local);
    if let Some(version) = tls_version {
        tls(&mut rest, version.as_bytes());
    }
    let mut header = Vec::with_capacity(16 + rest.len());
    header.extend_from_slice(&SIGNATURE);
    header.extend_from_slice(&[VERSION_PROXY, family]);
    header.extend_from_slice(&length(rest.len()));
    header.extend_from_slice(&rest);
    header
}

fn addresses(out: &mut Vec<u8>, peer: SocketAddr, local: SocketAddr) -> u8 {
    let family = match (peer.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            TCP4
        }
        (from, to) => {
            out.extend_from_slice(&six(from));
            out.extend_from_slice(&six(to));
            TCP6
        }
    };
    out.extend_from_slice(&peer.port().to_be_bytes());
    out.extend_from_slice(&local.port().to_be_bytes());
    family
}

fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn tls(out: &mut Vec<u8>, version: &[u8]) {
    out.push(TYPE_SSL);
    out.extend_from_slice(&length(1 + 4 + 3 + version.len()));
    out.push(CLIENT_SSL);
    out.extend_from_slice(&UNVERIFIED.to_be_bytes());
    out.push(SUBTYPE_SSL_VERSION);
    out.extend_from_slice(&length(version.len()));
    out.extend_from_slice(version);
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("a header is below a hundred bytes").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_as_the_protocol_has_it() {
        let header = encode("[::ffff:10.1.2.3]:258".parse().unwrap(), "10.0.0.1:443".parse().unwrap(), None);
        assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n");
        assert_eq!(header[12..], [0x21, 0x11, 0, 12, 10, 1, 2, 3, 10, 0, 0, 1, 1, 2, 1, 187]);

        let header = encode("[::1]:1".parse().unwrap(), "[::1]:2".parse().unwrap(), Some("TLSv1.3"));
        assert_eq!(header[12..16], [0x21, 0x21, 0, 36 + 3 + 15]);
        let tlv = &header[16 + 36..];
        assert_eq!(tlv[..3], [0x20, 0, 15]);
        assert_eq!(tlv[3..8], [1, 0, 0, 0, 1]);
        assert_eq!(&tlv[8..], b"\x21\0\x07TLSv1.3");
    }
}
