//! The firewall rules as text for `nft`. Each text is one transaction.
//!
//! Three hooks decide: packets to this machine, packets through it, and, one layer below, frames of the bridge,
//! where a source address belongs to one interface. Every chain first lets pass what is not of our bridge; ports of
//! it are known by their names (matching on the bridge's own name needs a kernel option that not every kernel has).

use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

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

/// What the rules depend on.
pub(super) struct Rules<'a> {
    pub(super) instance: &'a str,
    pub(super) bridge: &'a str,
    pub(super) gateway: Ipv4Addr,
    pub(super) subnet: String,
    pub(super) router_ports: &'a [u16],
    pub(super) allow_egress: &'a [String],
}

impl Rules<'_> {
    /// The whole set, in place of what is there.
    pub(super) fn text<'p>(&self, places: impl Iterator<Item = &'p NetworkRecord>) -> String {
        let mut text = String::new();
        for family in ["inet", "bridge"] {
            // Made before it is deleted, because deleting what is not there fails.
            let table = format!("{family} paddock_{}", self.instance);
            text += &format!("table {table}\ndelete table {table}\n");
        }
        text + &self.inet() + &self.bridge(places)
    }

    fn inet(&self) -> String {
        let Self { instance, bridge, gateway, subnet, .. } = self;
        let router_ports = self.router_ports.iter().map(u16::to_string).collect::<Vec<_>>();
        let ports = set("router_ports", "inet_service", "", &router_ports);
        let private = set("not_outside", "ipv4_addr", "flags interval; ", &NOT_OUTSIDE.map(str::to_owned));
        let (services, ranges): (Vec<_>, Vec<_>) =
            self.allow_egress.iter().cloned().partition(|entry| is_service(entry));
        let services: Vec<_> = services.iter().map(|entry| entry.replacen(':', " . ", 1)).collect();
        let allowed = set("allowed", "ipv4_addr", "flags interval; auto-merge; ", &ranges)
            + &set("allowed_services", "ipv4_addr . inet_service", "", &services);
        format!(
            "table inet paddock_{instance} {{\n{ports}{private}{allowed}\
             chain input {{\n\
             type filter hook input priority -10; policy accept;\n\
             iifname != \"{bridge}\" accept\n\
             ct state established,related accept\n\
             ip daddr {gateway} udp dport 53 accept\n\
             ip daddr {gateway} tcp dport 53 accept\n\
             fib daddr type local tcp dport @router_ports accept\n\
             ip daddr . tcp dport @allowed_services accept\n\
             reject with icmpx admin-prohibited\n\
             }}\n\
             chain forward {{\n\
             type filter hook forward priority -10; policy accept;\n\
             iifname != \"{bridge}\" oifname != \"{bridge}\" accept\n\
             iifname \"{bridge}\" oifname \"{bridge}\" drop\n\
             ct state established,related accept\n\
             oifname \"{bridge}\" drop\n\
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

    fn bridge<'p>(&self, places: impl Iterator<Item = &'p NetworkRecord>) -> String {
        let Self { instance, .. } = self;
        let sources = set("sources", "ifname . ipv4_addr", "", &places.map(source).collect::<Vec<_>>());
        format!(
            "table bridge paddock_{instance} {{\n{sources}\
             chain prerouting {{\n\
             type filter hook prerouting priority -300; policy accept;\n\
             iifname != \"v{instance}*\" accept\n\
             iifname . ip saddr @sources accept\n\
             ether type arp iifname . arp saddr ip @sources accept\n\
             drop\n\
             }}\n\
             chain forward {{\n\
             type filter hook forward priority 0; policy accept;\n\
             iifname \"v{instance}*\" drop\n\
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
    fn only_ranges_become_part_of_a_rule() {
        let right = ["10.0.0.0/8", "192.0.2.7", "192.0.2.7:3128"].map(str::to_owned);
        assert!(check_egress(&right).is_ok());
        for wrong in ["10.0.0.0/33", "10.0.0.0/8:80", "[::1]:80", "example.com", "10.0.0.0/8 } accept", ""] {
            assert!(check_egress(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
