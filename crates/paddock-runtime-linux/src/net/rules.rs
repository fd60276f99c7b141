//! The firewall rules as text for `nft`. Each text is one transaction.
//!
//! Three hooks decide: packets to this machine, packets through it, and, one layer below, frames of the bridge,
//! where a source address belongs to one interface and a dyno reaches those ports of services that it may. Every chain first lets pass what is not of our bridge; ports of
//! it are known by their names (matching on the bridge's own name needs a kernel option that not every kernel has).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::reach::Pair;
use crate::record::NetworkRecord;

/// What containers do not reach although it is outside: private, shared, link-local, metadata, loopback, multicast
/// and reserved ranges. (Ranges for documentation and examples are not listed: nobody's services live there.)
const NOT_OUTSIDE: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// What lets pass what a dyno sends to a service that it may reach, and what the service answers: never a packet that opens a
/// connection.
const PASS_PAIRS: [&str; 2] = [
    "ip saddr . ip daddr . tcp dport @reach accept",
    "ip daddr . ip saddr . tcp sport @reach tcp flags & (syn | ack) != syn accept",
];

/// What the rules depend on.
pub(super) struct Rules<'a> {
    pub(super) instance: &'a str,
    pub(super) bridge: &'a str,
    pub(super) gateway: Ipv4Addr,
    pub(super) subnet: String,
    pub(super) services: String,
    pub(super) router_ports: &'a [u16],
    pub(super) allow_egress: &'a [String],
}

impl Rules<'_> {
    /// The whole set, in place of what is there.
    pub(super) fn text<'p>(
        &self,
        places: impl Iterator<Item = &'p NetworkRecord>,
        pairs: &BTreeSet<Pair>,
    ) -> String {
        let mut text = String::new();
        for family in ["inet", "bridge"] {
            // Made before it is deleted, because deleting what is not there fails.
            let table = format!("{family} paddock_{}", self.instance);
            text += &format!("table {table}\ndelete table {table}\n");
        }
        text + &self.inet(pairs) + &self.bridge(places, pairs)
    }

    fn inet(&self, pairs: &BTreeSet<Pair>) -> String {
        let Self { instance, bridge, gateway, subnet, services, .. } = self;
        // Frames of the bridge come by here, too, where the machine has its firewall see them (`bridge-nf-call-iptables`).
        let reach = set("reach", "ipv4_addr . ipv4_addr . inet_service", "", &reach_elements(pairs));
        let between = format!("iifname \"{bridge}\" oifname \"{bridge}\"");
        let [to_service, to_dyno] = PASS_PAIRS.map(|rule| format!("{between} {rule}"));
        let router_ports = self.router_ports.iter().map(u16::to_string).collect::<Vec<_>>();
        let ports = set("router_ports", "inet_service", "", &router_ports);
        let private = set("not_outside", "ipv4_addr", "flags interval; ", &NOT_OUTSIDE.map(str::to_owned));
        let (ports_of, ranges): (Vec<_>, Vec<_>) =
            self.allow_egress.iter().cloned().partition(|entry| is_service(entry));
        let ports_of: Vec<_> = ports_of.iter().map(|entry| entry.replacen(':', " . ", 1)).collect();
        let allowed = set("allowed", "ipv4_addr", "flags interval; auto-merge; ", &ranges)
            + &set("allowed_services", "ipv4_addr . inet_service", "", &ports_of);
        format!(
            "table inet paddock_{instance} {{\n{ports}{private}{allowed}{reach}\
             chain input {{\n\
             type filter hook input priority -10; policy accept;\n\
             iifname != \"{bridge}\" accept\n\
             ct state established,related accept\n\
             ip saddr {services} reject with icmpx admin-prohibited\n\
             ip daddr {gateway} udp dport 53 accept\n\
             ip daddr {gateway} tcp dport 53 accept\n\
             fib daddr type local tcp dport @router_ports accept\n\
             ip daddr . tcp dport @allowed_services accept\n\
             reject with icmpx admin-prohibited\n\
             }}\n\
             chain forward {{\n\
             type filter hook forward priority -10; policy accept;\n\
             iifname != \"{bridge}\" oifname != \"{bridge}\" accept\n\
             {to_service}\n\
             {to_dyno}\n\
             {between} drop\n\
             ct state established,related accept\n\
             oifname \"{bridge}\" drop\n\
             ip saddr {services} reject with icmpx admin-prohibited\n\
             meta nfproto ipv6 drop\n\
             ip daddr . tcp dport @allowed_services accept\n\
             tcp dport 25 reject with icmpx admin-prohibited\n\
             ip daddr @allowed accept\n\
             ip daddr @not_outside reject with icmpx admin-prohibited\n\
             }}\n\
             chain postrouting {{\n\
             type nat hook postrouting priority 100; policy accept;\n\
             ip saddr {subnet} oifname != \"{bridge}\" masquerade\n\
             }}\n\
             }}\n"
        )
    }

    /// Between two ports of the bridge nothing passes but what pairs say, and that by the port of whom it is for: a frame whose
    /// port the bridge does not know would go to all of them.
    fn bridge<'p>(&self, places: impl Iterator<Item = &'p NetworkRecord>, pairs: &BTreeSet<Pair>) -> String {
        let Self { instance, .. } = self;
        let sources = set("sources", "ifname . ipv4_addr", "", &places.map(source).collect::<Vec<_>>());
        let reach = set("reach", "ipv4_addr . ipv4_addr . inet_service", "", &reach_elements(pairs));
        let peers = set("peers", "ipv4_addr . ipv4_addr", "", &peer_elements(&peers(pairs)));
        let [to_service, to_dyno] = PASS_PAIRS;
        format!(
            "table bridge paddock_{instance} {{\n{sources}{reach}{peers}\
             chain prerouting {{\n\
             type filter hook prerouting priority -300; policy accept;\n\
             iifname != \"v{instance}*\" accept\n\
             iifname . ip saddr @sources accept\n\
             ether type arp iifname . arp saddr ip @sources accept\n\
             drop\n\
             }}\n\
             chain forward {{\n\
             type filter hook forward priority 0; policy accept;\n\
             iifname != \"v{instance}*\" accept\n\
             ether type ip oifname . ip daddr != @sources drop\n\
             {to_service}\n\
             {to_dyno}\n\
             ether type arp oifname . arp daddr ip @sources arp saddr ip . arp daddr ip @peers accept\n\
             drop\n\
             }}\n\
             }}\n"
        )
    }
}

fn source(place: &NetworkRecord) -> String {
    format!("\"{}\" . {}", place.interface, place.address)
}

fn set(name: &str, kind: &str, flags: &str, elements: &[String]) -> String {
    let mut text = format!("set {name} {{ type {kind}; {flags}");
    if !elements.is_empty() {
        let _ = write!(text, "elements = {{ {} }}; ", elements.join(", "));
    }
    text + "}\n"
}

/// Adds one container's source.
pub(super) fn admit(instance: &str, place: &NetworkRecord) -> String {
    format!("add element bridge paddock_{instance} sources {{ {} }}\n", source(place))
}

/// Takes it away.
pub(super) fn dismiss(instance: &str, place: &NetworkRecord) -> String {
    format!("delete element bridge paddock_{instance} sources {{ {} }}\n", source(place))
}

/// Brings one set of pairs to another.
pub(super) fn change(instance: &str, before: &BTreeSet<Pair>, after: &BTreeSet<Pair>) -> String {
    let (peers_before, peers_after) = (peers(before), peers(after));
    let less = |from: &BTreeSet<Pair>, other: &BTreeSet<Pair>| reach_elements(&(from - other));
    let peers_less = |from: &BTreeSet<Peers>, other: &BTreeSet<Peers>| peer_elements(&(from - other));
    let mut text = String::new();
    for (verb, reach, peers) in [
        ("delete", less(before, after), peers_less(&peers_before, &peers_after)),
        ("add", less(after, before), peers_less(&peers_after, &peers_before)),
    ] {
        for (set, elements) in
            [("inet", "reach", &reach), ("bridge", "reach", &reach), ("bridge", "peers", &peers)]
                .map(|(family, set, elements)| (format!("{family} paddock_{instance} {set}"), elements))
        {
            if !elements.is_empty() {
                let _ = writeln!(text, "{verb} element {set} {{ {} }}", elements.join(", "));
            }
        }
    }
    text
}

fn reach_elements(pairs: &BTreeSet<Pair>) -> Vec<String> {
    pairs.iter().map(|Pair { dyno, service, port }| format!("{dyno} . {service} . {port}")).collect()
}

/// Two that ask for each other's hardware address: who, and for whom.
type Peers = (Ipv4Addr, Ipv4Addr);

fn peers(pairs: &BTreeSet<Pair>) -> BTreeSet<Peers> {
    pairs.iter().flat_map(|pair| [(pair.dyno, pair.service), (pair.service, pair.dyno)]).collect()
}

fn peer_elements(peers: &BTreeSet<Peers>) -> Vec<String> {
    peers.iter().map(|(who, whom)| format!("{who} . {whom}")).collect()
}

/// Takes everything away.
pub(super) fn none(instance: &str) -> String {
    let delete = |family: &str| {
        let table = format!("{family} paddock_{instance}");
        format!("table {table}\ndelete table {table}\n")
    };
    delete("inet") + &delete("bridge")
}

/// Whether an entry is one port of one address.
fn is_service(entry: &str) -> bool {
    entry.parse::<SocketAddrV4>().is_ok()
}

/// Refuses what is neither an IPv4 range nor an address with a port: it becomes part of a rule.
pub(super) fn check_egress(entries: &[String]) -> io::Result<()> {
    for entry in entries {
        let (address, prefix) = entry.split_once('/').unwrap_or((entry, "32"));
        let is_range =
            address.parse::<Ipv4Addr>().is_ok() && prefix.parse::<u8>().is_ok_and(|bits| bits <= 32);
        if !is_range && !is_service(entry) {
            let reason = format!("{entry:?} is neither a range such as 203.0.113.0/24 nor 203.0.113.7:3128");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_stay_are_not_touched_by_a_change() {
        let host = |number| Ipv4Addr::new(10, 1, 0, number);
        let pair = |dyno, port| Pair { dyno: host(dyno), service: host(100), port };
        let before = BTreeSet::from([pair(2, 1), pair(2, 2), pair(3, 1)]);
        let after = BTreeSet::from([pair(2, 1), pair(4, 1)]);
        let text = change("abcdef", &before, &after);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "delete element inet paddock_abcdef reach { 10.1.0.2 . 10.1.0.100 . 2, 10.1.0.3 . 10.1.0.100 . 1 }",
                "delete element bridge paddock_abcdef reach { 10.1.0.2 . 10.1.0.100 . 2, 10.1.0.3 . 10.1.0.100 . 1 }",
                "delete element bridge paddock_abcdef peers { 10.1.0.3 . 10.1.0.100, 10.1.0.100 . 10.1.0.3 }",
                "add element inet paddock_abcdef reach { 10.1.0.4 . 10.1.0.100 . 1 }",
                "add element bridge paddock_abcdef reach { 10.1.0.4 . 10.1.0.100 . 1 }",
                "add element bridge paddock_abcdef peers { 10.1.0.4 . 10.1.0.100, 10.1.0.100 . 10.1.0.4 }",
            ]
        );
        assert_eq!(change("abcdef", &before, &before), "");
    }

    #[test]
    fn only_ranges_become_part_of_a_rule() {
        let right = ["10.0.0.0/8", "192.0.2.7", "192.0.2.7:3128"].map(str::to_owned);
        assert!(check_egress(&right).is_ok());
        for wrong in ["10.0.0.0/33", "10.0.0.0/8:80", "[::1]:80", "example.com", "10.0.0.0/8 } accept", ""] {
            assert!(check_egress(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
