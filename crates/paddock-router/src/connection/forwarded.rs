//! Where a request came from. What a client says of that is passed on and believed by nobody here.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use paddock_http1::Fields;

/// Where a request came from and how, as the dyno is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The client's list of addresses, and its own at the end, which alone is known to be true.
    pub(crate) list: Bytes,
    pub(crate) is_https: bool,
    pub(crate) port: Bytes,
}

impl Forwarded {
    /// Of a connection of `peer` to `port`.
    pub(crate) fn new(fields: &Fields, peer: SocketAddr, port: u16, is_https: bool) -> Self {
        let mut list = Vec::with_capacity(48);
        for value in fields.all("x-forwarded-for").filter(|value| !value.is_empty()) {
            list.extend_from_slice(value);
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(canonical_ip(peer).to_string().as_bytes());
        Self { list: list.into(), is_https, port: port.to_string().into() }
    }
}

/// An IPv4 address as such also on a socket that takes both families.
pub(crate) fn canonical_ip(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&'static str, &'static str)]) -> Fields {
        list.iter().copied().collect()
    }

    #[test]
    fn the_address_of_the_peer_ends_the_list_that_it_sent() {
        let sent = [
            ("X-Forwarded-For", "1.1.1.1"),
            ("X-Forwarded-For", ""),
            ("X-Forwarded-For", "2.2.2.2, 3.3.3.3"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Port", "8443"),
        ];
        let peer = "[::ffff:10.0.0.9]:1".parse().unwrap();
        let forwarded = Forwarded::new(&fields(&sent), peer, 5080, false);
        let list = "1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9".into();
        assert_eq!(forwarded, Forwarded { list, is_https: false, port: "5080".into() });
    }
}
