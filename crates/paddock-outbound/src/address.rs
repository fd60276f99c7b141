//! Which addresses may be connected to: the outbound rule itself, without a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network in CIDR notation, such as `192.0.2.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no network in the form 192.0.2.0/24 or 2001:db8::/32")]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, bits) = text.split_once('/').ok_or(InvalidNetwork)?;
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let bits: u8 = bits.parse().map_err(|_| InvalidNetwork)?;
        if bits > width(address) { Err(InvalidNetwork) } else { Ok(Self { address, bits }) }
    }
}

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
            IpAddr::V6(v6) => u128::from(v6),
        };
        width(self.address) == width(address)
            && (self.bits == 0 || (shift(self.address) ^ shift(address)) >> (128 - u32::from(self.bits)) == 0)
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Why an address is refused: what kind of address it is, in words.
pub(crate) type Kind = &'static str;

/// Says why `address` is refused, or nothing. `own` are the addresses of this machine; what `allowed` contains is
/// the operator's decision.
pub(crate) fn refused(address: IpAddr, allowed: &[Network], own: &[IpAddr]) -> Option<Kind> {
    // `::ffff:127.0.0.1` reaches what 127.0.0.1 reaches.
    let address = address.to_canonical();
    if allowed.iter().any(|network| network.contains(address)) {
        return None;
    }
    if own.iter().any(|one| one.to_canonical() == address) {
        return Some("an address of this machine");
    }
    match address {
        IpAddr::V4(v4) => refused_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            // A translator on the way would connect to the inner address.
            Some(v4) => refused(v4.into(), allowed, own),
            None => refused_v6(v6),
        },
    }
}

/// Special networks of IPv4. Source: IANA's registry of special-purpose addresses.
const V4: [(Ipv4Addr, u8, Kind); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's private address"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for measurements"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "a broadcast address"),
];

fn refused_v4(address: Ipv4Addr) -> Option<Kind> {
    let inside = |network: Ipv4Addr, bits| Network { address: network.into(), bits }.contains(address.into());
    V4.iter().find(|(network, bits, _)| inside(*network, *bits)).map(|(_, _, kind)| *kind)
}

fn refused_v6(address: Ipv6Addr) -> Option<Kind> {
    let [first, second, ..] = address.segments();
    match (first, second) {
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_unspecified() => Some("no address of a host"),
        (0xff00..=0xffff, _) => Some("a multicast address"),
        (0xfe80..=0xfebf, _) => Some("a link-local address"),
        (0xfec0..=0xfeff, _) => Some("a site-local address"),
        (0xfc00..=0xfdff, _) => Some("a private address"),
        (0x2001, 0x0db8) | (0x3fff, 0..=0x0fff) => Some("an address for documentation"),
        // Teredo, benchmarking, ORCHID and what else lies in 2001::/23.
        (0x2001, 0..=0x01ff) => Some("a reserved address"),
        (0x2000..=0x3fff, _) => None,
        // Only 2000::/3 is given out.
        _ => Some("a reserved address"),
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped and compatible ones, NAT64, 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(v4(g, h)),
        (0, 0, 0, 0, 0, 0) if g != 0 || h > 1 => Some(v4(g, h)),
        (0x2002, ..) => Some(v4(b, c)),
        _ => None,
    }
}

/// The addresses of this machine, read from the kernel's tables.
pub(crate) fn own_addresses() -> std::io::Result<Vec<IpAddr>> {
    let mut own = local_v4(&std::fs::read_to_string("/proc/net/fib_trie")?);
    // Absent where the kernel has no IPv6.
    own.extend(local_v6(&std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default()));
    Ok(own)
}

/// `|-- ADDRESS` lines that `/32 host LOCAL` follows.
fn local_v4(fib_trie: &str) -> Vec<IpAddr> {
    let mut last = None;
    let mut found = Vec::new();
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// The first column, 32 hexadecimal digits.
fn local_v6(if_inet6: &str) -> Vec<IpAddr> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    if_inet6.lines().filter_map(address).map(|bits| Ipv6Addr::from(bits).into()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// One or more of each special network, its ends where they are near to public ones.
    const SPECIAL: &str = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 \
        172.31.255.255 192.0.0.1 192.0.2.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 \
        239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 \
        ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: 2002:c0a8:101::1 2001::1 \
        2001:db8::1 fc00::1 fd12:3456::1 fe80::1 febf::1 fec0::1 ff02::1 100::1 5f00::1 3fff::1";
    const PUBLIC: &str = "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 \
        172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 \
        2606:4700::1111 2a00:1450::1 64:ff9b::1.1.1.1 2002:101:101::1 ::ffff:1.1.1.1";

    #[test]
    fn what_is_not_public_is_refused() {
        for address in SPECIAL.split_whitespace() {
            assert!(refused(ip(address), &[], &[]).is_some(), "{address}");
        }
        for address in PUBLIC.split_whitespace() {
            assert_eq!(refused(ip(address), &[], &[]), None, "{address}");
        }
    }

    #[test]
    fn own_addresses_are_refused_though_they_are_public_and_listed_ones_are_not() {
        let own = [ip("1.2.3.4"), ip("2606:4700::1")];
        for address in ["1.2.3.4", "::ffff:1.2.3.4", "64:ff9b::1.2.3.4", "2606:4700::1"] {
            assert_eq!(refused(ip(address), &[], &own), Some("an address of this machine"), "{address}");
        }
        let listed = ["1.2.3.4/32", "127.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        for address in ["1.2.3.4", "127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "fd00::1"] {
            assert_eq!(refused(ip(address), &listed, &own), None, "{address}");
        }
        assert!(refused(ip("10.0.0.1"), &listed, &own).is_some());
    }

    #[test]
    fn networks_are_read_and_contain_what_they_say() {
        for bad in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/-1", "x/8", "::/129", "127.1/8", "1.2.3.4/8/8"] {
            assert_eq!(bad.parse::<Network>(), Err(InvalidNetwork), "{bad}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(ip("255.1.2.3")) && !all.contains(ip("::1")));
        let half: Network = "128.0.0.0/1".parse().unwrap();
        assert!(half.contains(ip("255.0.0.0")) && !half.contains(ip("127.0.0.0")));
        let one: Network = "::1/128".parse().unwrap();
        assert!(one.contains(ip("::1")) && !one.contains(ip("::2")));
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 127.0.0.0/8 2 0 2\n\
                    \x20       |-- 127.0.0.1\n           /32 host LOCAL\n        |-- 127.255.255.255\n           /32 link BROADCAST\n";
        assert_eq!(local_v4(trie), [ip("127.0.0.1")]);
        let v6 = "00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(local_v6(v6), [ip("::1")]);
        assert!(own_addresses().unwrap().contains(&ip("127.0.0.1")));
    }

    proptest! {
        #[test]
        fn the_mapped_form_is_judged_as_the_address_itself(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let judged = refused(v4.into(), &[], &[]);
            prop_assert_eq!(refused(v4.to_ipv6_mapped().into(), &[], &[]), judged);
            let nat64 = Ipv6Addr::from((0x64_ff9b_u128 << 96) | u128::from(bits));
            prop_assert_eq!(refused(nat64.into(), &[], &[]), judged);
        }

        #[test]
        fn whatever_the_standard_library_calls_special_is_refused(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!special || refused(v4.into(), &[], &[]).is_some());
        }
    }
}
