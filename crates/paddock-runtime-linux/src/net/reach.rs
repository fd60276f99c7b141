//! Who may reach which service, as it was said and as the firewall knows it.
//!
//! What was said is written down: a server that starts goes on with it until it is told anew, so that no connection is cut
//! in between, and a dyno that it starts first has what is its.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use paddock_core::{ServiceId, Tenant, durable};
use paddock_files::Beside;
use paddock_runtime::Reach;
use serde::{Deserialize, Serialize};

use crate::record::{NetworkRecord, PartRecord};

/// A dyno that may connect to a port of a service, by addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) dyno: Ipv4Addr,
    pub(super) service: Ipv4Addr,
    pub(super) port: u16,
}

/// What was said last.
#[derive(Debug)]
pub(super) struct Said {
    file: PathBuf,
    reach: Mutex<BTreeSet<Reach>>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    tenant: u32,
    service: String,
    port: u16,
}

impl Said {
    pub(super) fn open(file: PathBuf) -> io::Result<Self> {
        let entries: Vec<Entry> = match std::fs::read(&file) {
            // Unreadable after a power cut, when there is no container left either: it is said anew soon.
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let reach = entries.into_iter().filter_map(|Entry { tenant, service, port }| {
            Some(Reach { tenant: Tenant(tenant), service: service.parse().ok()?, port })
        });
        Ok(Self { file, reach: Mutex::new(reach.collect()) })
    }

    /// Keeps what is said now.
    pub(super) fn replace(&self, reach: BTreeSet<Reach>) -> io::Result<()> {
        let mut said = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != reach {
            let entries: Vec<_> = reach
                .iter()
                .map(|Reach { tenant, service, port }| Entry {
                    tenant: tenant.0,
                    service: service.to_string(),
                    port: *port,
                })
                .collect();
            let written = Beside::write(&self.file, serde_json::to_vec(&entries)?)?;
            durable!("network.reach_said", written.replace())?;
            *said = reach;
        }
        Ok(())
    }

    /// What that means for the containers that there are.
    pub(super) fn pairs<'p>(
        &self,
        places: impl Iterator<Item = &'p NetworkRecord>,
        services: &BTreeMap<ServiceId, Ipv4Addr>,
    ) -> BTreeSet<Pair> {
        let said = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dynos: BTreeMap<u32, Vec<Ipv4Addr>> = BTreeMap::new();
        for place in places {
            if let PartRecord::Dyno { tenant } = place.part {
                dynos.entry(tenant).or_default().push(place.address);
            }
        }
        let mut pairs = BTreeSet::new();
        for Reach { tenant, service, port } in said.iter() {
            let Some(service) = services.get(service) else { continue };
            let theirs = dynos.get(&tenant.0).into_iter().flatten();
            pairs.extend(theirs.map(|dyno| Pair { dyno: *dyno, service: *service, port: *port }));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: Ipv4Addr, part: PartRecord) -> NetworkRecord {
        let text = String::new;
        let gateway = Ipv4Addr::new(10, 1, 0, 1);
        NetworkRecord {
            address,
            netmask: Ipv4Addr::new(255, 255, 0, 0),
            gateway,
            bridge: text(),
            interface: text(),
            part,
        }
    }

    #[test]
    fn dynos_of_the_tenant_have_pairs_and_a_start_goes_on_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("reach.json");
        let [here, nowhere] = [1, 2].map(|number| ServiceId::from_uuid(uuid::Uuid::from_u128(number)));
        let host = |number| Ipv4Addr::new(10, 1, 0, number);
        let services = BTreeMap::from([(here, host(100))]);
        let places = [
            place(host(2), PartRecord::Dyno { tenant: 7 }),
            place(host(3), PartRecord::Dyno { tenant: 7 }),
            place(host(4), PartRecord::Dyno { tenant: 8 }),
            place(host(5), PartRecord::Outbound),
        ];
        let may = |service, port| Reach { tenant: Tenant(7), service, port };
        let said = Said::open(file.clone()).unwrap();
        assert_eq!(said.pairs(places.iter(), &services), BTreeSet::new());
        said.replace(BTreeSet::from([may(here, 5432), may(nowhere, 5432)])).unwrap();
        let pair = |dyno| Pair { dyno: host(dyno), service: host(100), port: 5432 };
        assert_eq!(said.pairs(places.iter(), &services), BTreeSet::from([pair(2), pair(3)]));
        let anew = Said::open(file).unwrap();
        assert_eq!(anew.pairs(places.iter(), &services), BTreeSet::from([pair(2), pair(3)]));
    }
}
