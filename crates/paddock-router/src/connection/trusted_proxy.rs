//! Proxies in front of the router that the operator trusts (`--trusted-proxy`): what they say of the client is believed,
//! and of nobody else.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use paddock_http1::Fields;
use paddock_ipc::routes::Network;

use crate::connection::forwarded::{Forwarded, canonical_ip};

const PROTO: &str = "x-forwarded-proto";
const PORT: &str = "x-forwarded-port";

/// What the dyno is told of a request with these fields from `peer`: `seen`, which the router knows itself, or what a
/// trusted proxy says. The last address of its list is then the nearest that is not trusted.
pub(crate) fn believed(seen: Forwarded, fields: &Fields, peer: SocketAddr, trusted: &[Network]) -> Forwarded {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(canonical_ip(peer)) {
        return seen;
    }
    let told_https = match last(fields, PROTO) {
        Some(b"https") => Some(true),
        Some(b"http") => Some(false),
        _ => None,
    };
    let port: Option<u16> = last(fields, PORT).and_then(|port| std::str::from_utf8(port).ok()?.parse().ok());
    let port = port.or(told_https.map(|https| if https { 443 } else { 80 }));
    Forwarded {
        list: without_trusted_ends(&seen.list, is_trusted),
        is_https: told_https.unwrap_or(seen.is_https),
        port: port.map_or(seen.port, |port| port.to_string().into()),
    }
}

/// The list up to its last address that is not trusted; as it is where there is none. What is no address was said of
/// somebody by a trusted proxy: `unknown`, or an address with a port.
fn without_trusted_ends(list: &Bytes, is_trusted: impl Fn(IpAddr) -> bool) -> Bytes {
    let address = |entry: &[u8]| std::str::from_utf8(entry.trim_ascii()).ok()?.parse::<IpAddr>().ok();
    let mut kept = &list[..];
    while address(last_entry(kept)).is_some_and(|address| is_trusted(address.to_canonical())) {
        let end = kept.len() - last_entry(kept).len();
        let Some(before) = kept[..end].strip_suffix(b",") else { return list.clone() };
        kept = before;
    }
    if last_entry(kept).trim_ascii().is_empty() {
        list.clone()
    } else {
        list.slice(..kept.trim_ascii_end().len())
    }
}

fn last_entry(list: &[u8]) -> &[u8] {
    list.rsplit(|byte| *byte == b',').next().unwrap_or_default()
}

/// The last element of a field that may be a list: what the nearest proxy said.
fn last<'f>(fields: &'f Fields, name: &'f str) -> Option<&'f [u8]> {
    fields.all(name).last().map(|value| last_entry(value).trim_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = "x-forwarded-for";

    fn network(address: &str, prefix: u8) -> Network {
        Network { address: address.parse().unwrap(), prefix }
    }

    fn told(peer: &str, sent: &[(&'static str, &str)]) -> (String, bool, u16) {
        let trusted = [network("10.0.0.0", 8), network("2001:db8::", 32)];
        let mut fields = Fields::default();
        for (name, value) in sent {
            fields.push(*name, (*value).to_owned());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let seen = Forwarded::new(&fields, peer, 5080, false);
        let Forwarded { list, is_https, port } = believed(seen, &fields, peer, &trusted);
        let text = |bytes: &Bytes| std::str::from_utf8(bytes).unwrap().to_owned();
        (text(&list), is_https, text(&port).parse().unwrap())
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_what_others_say_is_not() {
        let https = [(LIST, "203.0.113.9"), (PROTO, "https"), (PORT, "443")];
        assert_eq!(told("10.1.2.3", &https), ("203.0.113.9".into(), true, 443));
        assert_eq!(told("::ffff:10.1.2.3", &https), ("203.0.113.9".into(), true, 443));
        assert_eq!(told("192.0.2.1", &https), ("203.0.113.9, 192.0.2.1".into(), false, 5080));
        assert_eq!(told("127.0.0.1", &https), ("203.0.113.9, 127.0.0.1".into(), false, 5080));
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_not_trusted() {
        for (sent, list) in [
            ("198.51.100.1, 203.0.113.9", "198.51.100.1, 203.0.113.9"),
            ("203.0.113.9, 10.9.9.9", "203.0.113.9"),
            ("203.0.113.9,10.9.9.9 , 2001:db8::7", "203.0.113.9"),
            ("10.9.9.9", "10.9.9.9, 10.1.2.3"),
            ("unknown, 10.9.9.9", "unknown"),
            ("", "10.1.2.3"),
            (", 10.9.9.9", ", 10.9.9.9, 10.1.2.3"),
        ] {
            assert_eq!(told("10.1.2.3", &[(LIST, sent)]).0, list, "{sent}");
        }
        assert_eq!(told("10.1.2.3", &[]).0, "10.1.2.3", "a proxy that says nothing is the client");
    }

    #[test]
    fn a_scheme_without_a_port_has_the_usual_one_and_nonsense_has_none() {
        for (sent, tls, port) in [
            (&[(PROTO, "https")][..], true, 443),
            (&[(PROTO, "http")], false, 80),
            (&[(PROTO, "http"), (PROTO, "https")], true, 443),
            (&[(PROTO, "http, https"), (PORT, "80, 8443")], true, 8443),
            (&[(PROTO, "gopher")], false, 5080),
            (&[(PORT, "99999")], false, 5080),
            (&[], false, 5080),
        ] {
            assert_eq!(told("10.1.2.3", sent), ("10.1.2.3".into(), tls, port), "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn an_untrusted_peer_is_always_last(list in "[ -~]{0,60}", proto in "[a-z]{0,6}", peer: [u8; 4]) {
            prop_assume!(peer[0] != 10);
            let peer = std::net::Ipv4Addr::from(peer).to_string();
            let (said, tls, port) = told(&peer, &[(LIST, list.trim()), (PROTO, &proto)]);
            prop_assert!(said.ends_with(&peer) && !tls && port == 5080);
        }

        #[test]
        fn nothing_that_is_sent_breaks_it(list in "[ -~]{0,60}", proto in "[ -~]{0,9}", port in "[ -~]{0,9}") {
            let (said, ..) = told("10.1.2.3", &[(LIST, list.trim()), (PROTO, proto.trim()), (PORT, port.trim())]);
            let whole = [list.trim(), "10.1.2.3"].join(", ");
            prop_assert!(whole.starts_with(said.trim_end()) || said == "10.1.2.3", "{}", said);
        }
    }
}
