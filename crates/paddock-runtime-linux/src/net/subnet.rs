//! The instance's own range of addresses: free when it was chosen, and kept.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::tool::tool;

/// Where instances of this machine take turns in choosing.
const CHOOSING: &str = "/run/paddock-subnets.lock";

/// A range of 65,536 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subnet(u16);

#[derive(Serialize, Deserialize)]
struct Kept {
    subnet: String,
}

impl Subnet {
    /// Length of the network's prefix.
    pub(super) const PREFIX: u8 = 16;
    /// The same as a mask.
    pub(super) const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 0, 0);
    /// Numbers below this one are those of containers that come and go; 1 is the gateway.
    pub(super) const HOSTS: u32 = 0xF000;
    /// Numbers of services: a range of their own, so that the rules know them by their addresses.
    pub(super) const SERVICES: std::ops::Range<u32> = 0xF000..0xFFFF;

    /// The range that an address is of.
    pub(super) fn of(address: Ipv4Addr) -> Self {
        let [first, second, ..] = address.octets();
        Self(u16::from_be_bytes([first, second]))
    }

    /// The addresses of services, as a range.
    pub(super) fn services(self) -> String {
        format!("{}/20", self.host(Self::SERVICES.start))
    }

    /// The address with this number.
    pub(super) fn host(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from((u32::from(self.0) << 16) | number)
    }

    pub(super) fn gateway(self) -> Ipv4Addr {
        self.host(1)
    }

    /// The range that is `promised` or kept in `file`, or a free one, and makes `bridge` with it before another instance can
    /// choose. Also whether there was no such bridge.
    pub(super) fn claim(file: &Path, bridge: &str, promised: Option<Self>) -> io::Result<(Self, bool)> {
        let lock = std::fs::File::options().create(true).truncate(false).write(true).open(CHOOSING)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
        let used = used_ranges(bridge)?;
        let is_free = |subnet: &Subnet| !used.iter().any(|range| subnet.overlaps(*range));
        let kept = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let kept = kept.and_then(|kept| Self::parse(&kept.subnet));
        let is_new = !Path::new("/sys/class/net").join(bridge).exists();
        // A bridge is in the range of the file, also where the addresses have not been moved there yet.
        let kept = if is_new { promised.or(kept) } else { kept.or(promised) };
        let subnet = Self::choose(kept, !is_new, is_free)
            .ok_or_else(|| io::Error::other("no private range is free for the containers' network"))?;
        if kept.is_some_and(|kept| kept != subnet) {
            tracing::info!(%subnet, "the containers' network has moved: its range was taken while nothing ran in it");
        } else if !is_free(&subnet) {
            tracing::warn!(%subnet, "the containers' network overlaps with another one of this machine");
        }
        crate::record::replace(file, &Kept { subnet: subnet.to_string() })?;
        if is_new {
            ip(&["link", "add", bridge, "type", "bridge"])?;
        }
        ip(&["addr", "replace", &format!("{}/{}", subnet.gateway(), Self::PREFIX), "dev", bridge])?;
        Ok((subnet, is_new))
    }

    /// The kept range while containers of ours may be in it, which is as long as there is the bridge; else one that is free,
    /// the kept one first. Addresses that were promised move with it: in a range of somebody else's nobody would reach them.
    fn choose(kept: Option<Self>, is_needed: bool, is_free: impl Fn(&Self) -> bool) -> Option<Self> {
        kept.filter(|kept| is_needed || is_free(kept)).or_else(|| candidates().find(is_free))
    }

    fn parse(text: &str) -> Option<Self> {
        let address: Ipv4Addr = text.strip_suffix("/16")?.parse().ok()?;
        Some(Self(u16::try_from(u32::from(address) >> 16).ok()?))
    }

    fn overlaps(self, (address, prefix): (Ipv4Addr, u32)) -> bool {
        let prefix = prefix.min(u32::from(Self::PREFIX));
        // The default route overlaps with nothing.
        prefix > 0 && (u32::from(address) ^ (u32::from(self.0) << 16)) >> (32 - prefix) == 0
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host(0), Self::PREFIX)
    }
}

/// Ranges to choose from: the upper part of 10/8, then 172.20 to 172.31.
fn candidates() -> impl Iterator<Item = Subnet> {
    (200..=254)
        .map(|second| Subnet(10 << 8 | second))
        .chain((20..=31).map(|second| Subnet(172 << 8 | second)))
}

#[derive(Deserialize)]
struct Route {
    dst: String,
    dev: Option<String>,
}

/// Ranges that this machine routes, but for those of our own bridge. Addresses have routes in the local table.
fn used_ranges(bridge: &str) -> io::Result<Vec<(Ipv4Addr, u32)>> {
    let routes: Vec<Route> = serde_json::from_slice(&ip(&["-j", "-4", "route", "show", "table", "all"])?)?;
    let others = routes.into_iter().filter(|route| route.dev.as_deref() != Some(bridge));
    Ok(others
        .filter_map(|route| {
            let (address, prefix) = route.dst.split_once('/').unwrap_or((&route.dst, "32"));
            Some((address.parse().ok()?, prefix.parse().ok()?))
        })
        .collect())
}

fn ip(arguments: &[&str]) -> io::Result<Vec<u8>> {
    let output = tool("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("ip {}: {complaint}", arguments.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_kept_while_something_may_be_in_it_and_is_not_fought_for_otherwise() {
        let kept = Subnet::parse("10.201.0.0/16").unwrap();
        let taken = |subnet: &Subnet| *subnet != kept;
        assert_eq!(Subnet::choose(Some(kept), true, taken), Some(kept), "containers are in it");
        assert_eq!(Subnet::choose(Some(kept), false, taken), Subnet::parse("10.200.0.0/16"));
        assert_eq!(
            Subnet::choose(Some(kept), false, |_| true),
            Some(kept),
            "dynos keep their range over a stop"
        );
        assert_eq!(Subnet::choose(None, false, |_| false), None);
    }

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        let subnet = Subnet::parse("10.200.0.0/16").unwrap();
        let range = |text: &str, prefix| (text.parse().unwrap(), prefix);
        assert!(subnet.overlaps(range("10.200.7.1", 32)));
        assert!(subnet.overlaps(range("10.0.0.0", 8)));
        assert!(!subnet.overlaps(range("10.201.0.0", 16)));
        assert!(!subnet.overlaps(range("0.0.0.0", 0)));
        assert_eq!(
            (subnet.to_string(), subnet.gateway()),
            ("10.200.0.0/16".into(), Ipv4Addr::new(10, 200, 0, 1))
        );
    }
}
