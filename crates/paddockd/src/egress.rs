//! `--allow-egress`: private networks that are reached all the same, and single ports, which may be of this machine.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use paddock_outbound::Network;

/// An entry that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Egress {
    pub(crate) text: String,
    /// What the server itself may fetch from; a port of a service is for dynos and builds.
    pub(crate) network: Option<Network>,
}

impl FromStr for Egress {
    /// A sentence for the operator.
    type Err = String;

    fn from_str(entry: &str) -> Result<Self, String> {
        let text = entry.to_owned();
        if let Ok(service) = entry.parse::<SocketAddrV4>() {
            return match problem_of(service) {
                Some(problem) => Err(format!("--allow-egress {entry}: {problem}")),
                None => Ok(Self { text, network: None }),
            };
        }
        let network = entry.parse().ok().filter(|_| is_network(entry)).ok_or_else(|| {
            format!(
                "--allow-egress {entry:?} is neither an IPv4 network, such as 192.0.2.0/24, nor a port of an address, \
                 such as 192.0.2.7:5432"
            )
        })?;
        Ok(Self { text, network: Some(network) })
    }
}

fn problem_of(service: SocketAddrV4) -> Option<String> {
    let (address, port) = (service.ip(), service.port());
    if address.is_loopback() || address.is_unspecified() {
        return Some(format!(
            "inside a dyno {address} is the dyno itself. Have the service listen on an address of this machine that \
             `ip address` shows, and say that one with :{port}"
        ));
    }
    (port == 0).then(|| "there is no port 0".to_owned())
}

/// A network that dynos and builds can reach: they have IPv4 alone.
fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    address.parse::<Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 32)
}

/// What an operator should hear who named this machine itself without a port: its own ports are opened one by one.
pub(crate) fn remark(entry: &str, is_own: impl Fn(Ipv4Addr) -> bool) -> Option<String> {
    let address: Ipv4Addr = entry.strip_suffix("/32")?.parse().ok()?;
    (!address.is_loopback() && is_own(address)).then(|| {
        format!(
            "--allow-egress {entry} is this machine, whose ports are opened to dynos one by one: say --allow-egress {address}:PORT"
        )
    })
}

/// Whether an address is one of this machine's.
pub(crate) fn is_own(address: Ipv4Addr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(entry: &str) -> Option<String> {
        entry.parse::<Egress>().err()
    }

    #[test]
    fn networks_and_ports_of_addresses_are_taken_and_loopback_ports_are_not() {
        for right in ["192.0.2.0/24", "127.0.0.0/8", "192.0.2.7/32", "192.0.2.7:5432"] {
            assert_eq!(problem(right), None, "{right}");
        }
        for wrong in
            ["2001:db8::/32", "192.0.2.0", "1.2.3.4/33", "[::1]:80", "db.example:5432", "1.2.3.4:99999", ""]
        {
            assert!(problem(wrong).unwrap().contains("neither"), "{wrong}");
        }
        for inside in ["127.0.0.1:5432", "0.0.0.0:5432", "127.1.2.3:1"] {
            assert!(problem(inside).unwrap().contains("ip address"), "{inside}");
        }
        assert!(problem("192.0.2.7:0").is_some());
        assert!("192.0.2.7:5432".parse::<Egress>().unwrap().network.is_none());
        assert!("192.0.2.0/24".parse::<Egress>().unwrap().network.is_some());
    }

    #[test]
    fn whoever_names_this_machine_without_a_port_hears_of_it() {
        let own = |address: Ipv4Addr| address == Ipv4Addr::new(192, 0, 2, 7);
        assert!(remark("192.0.2.7/32", own).unwrap().contains("192.0.2.7:PORT"));
        for other in ["192.0.2.0/24", "192.0.2.8/32", "192.0.2.7:5432", "127.0.0.1/32"] {
            assert_eq!(remark(other, |address| own(address) || address.is_loopback()), None, "{other}");
        }
    }
}
