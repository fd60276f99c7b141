//! The PROXY protocol, version 2: by its header the router tells `serve` where a client really is and whether it came
//! by TLS. It is binary and stands before the first byte of a client, so that no client can send one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const VERSION: u8 = 2;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const INET: u8 = 1;
const INET6: u8 = 2;
const UNIX: u8 = 3;
const STREAM: u8 = 1;
const TYPE_SSL: u8 = 0x20;
const SUBTYPE_SSL_VERSION: u8 = 0x21;
const CLIENT_SSL: u8 = 0x01;
/// Not zero: no client certificate was verified.
const UNVERIFIED: u32 = 1;
/// More than anybody has to say.
const REST_BYTES_MAX: usize = 4096;

/// The header for a connection of `peer` to `local`; `tls_version` as `TLSv1.3`, `None` without TLS.
#[must_use]
pub fn encode(peer: SocketAddr, local: SocketAddr, tls_version: Option<&str>) -> Vec<u8> {
    let mut rest = Vec::with_capacity(64);
    let family = put_addresses(&mut rest, peer, local);
    if let Some(version) = tls_version {
        put_tls(&mut rest, version.as_bytes());
    }
    let mut header = Vec::with_capacity(Head::BYTES + rest.len());
    header.extend_from_slice(&SIGNATURE);
    header.extend_from_slice(&[VERSION << 4 | PROXY, family << 4 | STREAM]);
    header.extend_from_slice(&length(rest.len()));
    header.extend_from_slice(&rest);
    header
}

fn put_addresses(out: &mut Vec<u8>, peer: SocketAddr, local: SocketAddr) -> u8 {
    let family = match (peer.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            INET
        }
        (from, to) => {
            out.extend_from_slice(&six(from));
            out.extend_from_slice(&six(to));
            INET6
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

fn put_tls(out: &mut Vec<u8>, version: &[u8]) {
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

/// What a header says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Who connected and the address that they came to. None of the proxy's own connections.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Whether it came over TLS.
    pub tls: bool,
}

/// These bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoHeader;

/// The first bytes of a header, which say how many follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    command: u8,
    family: u8,
    rest: usize,
}

impl Head {
    /// How many they are.
    pub const BYTES: usize = 16;

    /// Reads them.
    ///
    /// # Errors
    /// When they are none, or say that there is more than anybody has to say.
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Result<Self, NoHeader> {
        let [.., version_and_command, family_and_protocol, high, low] = *bytes;
        let (version, command) = (version_and_command >> 4, version_and_command & 0x0f);
        let rest = usize::from(u16::from_be_bytes([high, low]));
        let known = bytes[..12] == SIGNATURE && version == VERSION && matches!(command, LOCAL | PROXY);
        if !known || rest > REST_BYTES_MAX {
            return Err(NoHeader);
        }
        Ok(Self { command, family: family_and_protocol >> 4, rest })
    }

    /// How many bytes follow.
    #[must_use]
    pub fn rest(&self) -> usize {
        self.rest
    }

    /// What the header says, by the bytes that followed.
    ///
    /// # Errors
    /// When they are fewer than they say themselves.
    pub fn connection(&self, rest: &[u8]) -> Result<Connection, NoHeader> {
        self.read(rest).ok_or(NoHeader)
    }

    fn read(&self, rest: &[u8]) -> Option<Connection> {
        let (addresses, options) = match self.family {
            INET => (Some(pair(rest.first_chunk::<12>()?)), &rest[12..]),
            INET6 => (Some(pair_of_six(rest.first_chunk::<36>()?)), &rest[36..]),
            UNIX => (None, rest.get(216..)?),
            _ => (None, rest),
        };
        // The proxy's own connection has addresses that mean nothing.
        let addresses = addresses.filter(|_| self.command == PROXY);
        Some(Connection { addresses, tls: is_over_tls(options)? })
    }
}

fn pair(bytes: &[u8; 12]) -> (SocketAddr, SocketAddr) {
    let [a, b, c, d, e, f, g, h, ports @ ..] = *bytes;
    with_ports(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h), ports)
}

fn pair_of_six(bytes: &[u8; 36]) -> (SocketAddr, SocketAddr) {
    let (mut from, mut to, mut ports) = ([0; 16], [0; 16], [0; 4]);
    from.copy_from_slice(&bytes[..16]);
    to.copy_from_slice(&bytes[16..32]);
    ports.copy_from_slice(&bytes[32..]);
    with_ports(Ipv6Addr::from(from), Ipv6Addr::from(to), ports)
}

fn with_ports(
    from: impl Into<IpAddr>,
    to: impl Into<IpAddr>,
    [a, b, c, d]: [u8; 4],
) -> (SocketAddr, SocketAddr) {
    let (from_port, to_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let address = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
    (address(from.into(), from_port), address(to.into(), to_port))
}

/// `None` when an option is cut.
fn is_over_tls(mut options: &[u8]) -> Option<bool> {
    while let [kind, high, low, rest @ ..] = options {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let value = rest.get(..length)?;
        if *kind == TYPE_SSL {
            return Some(value.first().is_some_and(|client| client & CLIENT_SSL != 0));
        }
        options = &rest[length..];
    }
    options.is_empty().then_some(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As [`encode`] has it, but for its parts.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(length(rest.len()));
        bytes.extend(rest);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Connection, NoHeader> {
        let (head, rest) = bytes.split_first_chunk().ok_or(NoHeader)?;
        let head = Head::parse(head)?;
        head.connection(rest.get(..head.rest()).ok_or(NoHeader)?)
    }

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

    #[test]
    fn what_others_write_is_read() {
        let v4 = [192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x34, 0, 80];
        let plain = decode(&header(PROXY, 0x11, &v4)).unwrap();
        let addresses = ("192.0.2.7:4660".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(plain, Connection { addresses: Some(addresses), tls: false });
        let mut with_tls = v4.to_vec();
        // An option that is not ours, then that of TLS without a version.
        with_tls.extend([0x04, 0, 1, 9, 0x20, 0, 5, 1, 0, 0, 0, 0]);
        assert!(decode(&header(PROXY, 0x11, &with_tls)).unwrap().tls);
        let nobody = Connection { addresses: None, tls: false };
        assert_eq!(decode(&header(LOCAL, 0x11, &v4)), Ok(nobody), "of a connection of its own");
        assert_eq!(decode(&header(LOCAL, 0, &[])), Ok(nobody));
        assert_eq!(decode(&header(PROXY, 0x31, &[0; 216])), Ok(nobody), "by a Unix socket");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert_eq!(decode(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Err(NoHeader));
        assert_eq!(decode(&header(PROXY, 0x11, &[0; 11])), Err(NoHeader));
        assert_eq!(decode(&header(PROXY, 0x11, &[0; 14])), Err(NoHeader), "half an option");
        assert_eq!(decode(&header(2, 0x11, &[0; 12])), Err(NoHeader), "no command that there is");
        assert_eq!(decode(&header(PROXY, 0x11, &[0; REST_BYTES_MAX + 1])), Err(NoHeader));
        let mut older = header(PROXY, 0x11, &[0; 12]);
        older[12] = 0x11;
        assert_eq!(decode(&older), Err(NoHeader));
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 4]>().prop_map(|four| Ipv4Addr::from(four).to_ipv6_mapped().into()),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ];
        (ip, any::<u16>()).prop_map(SocketAddr::from)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            peer in address(),
            local in address(),
            tls in proptest::option::of("TLSv1\\.[23]"),
            after in any::<Vec<u8>>(),
        ) {
            let mut bytes = encode(peer, local, tls.as_deref());
            bytes.extend(after);
            let read = decode(&bytes).unwrap();
            let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
            prop_assert_eq!(read.addresses, Some((canonical(peer), canonical(local))));
            prop_assert_eq!(read.tls, tls.is_some());
        }

        #[test]
        fn a_header_that_is_cut_is_none(
            peer in address(),
            local in address(),
            tls: bool,
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = encode(peer, local, tls.then_some("TLSv1.3"));
            bytes.truncate(cut.index(bytes.len()));
            prop_assert_eq!(decode(&bytes), Err(NoHeader));
        }

        #[test]
        fn no_bytes_break_it(command in 0..=1u8, family: u8, rest: Vec<u8>) {
            // Whatever it says it says of a whole header.
            if let Ok(read) = decode(&header(command, family, &rest)) {
                prop_assert!(read.addresses.is_none() || command == PROXY);
            }
        }
    }
}
