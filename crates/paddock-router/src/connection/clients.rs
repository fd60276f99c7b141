//! How many clients are connected, in all and from one address.
//!
//! One too many is told so (H22) by the answer to its first request; beyond a reserve for such answers connections are
//! closed as they come. Each client may need a second descriptor for its dyno: the limits lie below that of the process.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::Limits;

/// The clients that are connected.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connected client; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    clients: Arc<Clients>,
    address: IpAddr,
    /// There are too many: its requests are refused.
    pub(crate) is_surplus: bool,
}

impl Clients {
    /// Counts a client; `None` when not even a refusal is possible.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, limits: &Limits) -> Option<Place> {
        let address = owner(peer);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= limits.clients + limits.clients / 8 {
            return None;
        }
        counts.all += 1;
        let all = counts.all;
        let same = counts.by_address.entry(address).or_default();
        *same += 1;
        let is_surplus = all > limits.clients || *same > limits.clients_per_address;
        Some(Place { clients: self.clone(), address, is_surplus })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(same) = counts.by_address.get_mut(&self.address) {
            *same -= 1;
            if *same == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// The address that stands for all that one client has: in IPv6 that is a network of 64 bits.
fn owner(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_counts_until_it_is_given_back() {
        let clients = Arc::new(Clients::default());
        let limits = Limits { clients: 8, clients_per_address: 2, ..Limits::heroku() };
        let admit = |address: &str| clients.admit(address.parse().unwrap(), &limits);
        let surplus = |address: &str| admit(address).map(|place| place.is_surplus);
        let mut places: Vec<_> = ["10.0.0.1", "::ffff:10.0.0.1"].map(admit).into_iter().flatten().collect();
        assert_eq!(surplus("10.0.0.1"), Some(true));
        assert_eq!(surplus("10.0.0.2"), Some(false));
        places.extend(["2001:db8::1", "2001:db8::2"].map(admit).into_iter().flatten());
        assert_eq!(surplus("2001:db8::3"), Some(true), "the same network");
        assert_eq!(surplus("2001:db8:0:1::3"), Some(false));
        places.extend(["10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4"].map(admit).into_iter().flatten());
        places.extend(admit("10.0.1.5"));
        assert!(places.last().is_some_and(|place| place.is_surplus), "too many in all");
        assert!(admit("10.0.1.6").is_none(), "and far too many");
        drop(places);
        assert_eq!(surplus("10.0.0.1"), Some(false));
        assert!(clients.0.lock().unwrap().by_address.is_empty());
    }
}
