//! The addresses that services keep, in a file that is as durable as they are.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paddock_core::{ServiceId, durable};
use paddock_files::Beside;
use serde::{Deserialize, Serialize};

use super::subnet::Subnet;

/// Who has which. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    file: PathBuf,
    given: Arc<Mutex<Given>>,
}

#[derive(Debug, Clone, Default)]
struct Given {
    by_service: BTreeMap<ServiceId, Ipv4Addr>,
    /// The one that was given last: the next search goes on there, so that one that was just left is not given at once.
    last: Option<Ipv4Addr>,
}

/// Contents of the file. The range is kept as long as one of its addresses is.
#[derive(Serialize, Deserialize)]
struct Kept {
    services: BTreeMap<String, Ipv4Addr>,
}

impl Addresses {
    /// Reads what is kept. A file that cannot be read is not taken for none: others would be given its addresses.
    pub(super) fn open(file: PathBuf) -> io::Result<Self> {
        let by_service = match std::fs::read(&file) {
            Ok(bytes) => kept_in(&bytes)
                .map_err(|error| io::Error::other(format!("read {}: {error}", file.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let last = by_service.values().max().copied();
        Ok(Self { file, given: Arc::new(Mutex::new(Given { by_service, last })) })
    }

    /// The range that the kept addresses are of, if there is one.
    pub(super) fn subnet(&self) -> Option<Subnet> {
        self.given().by_service.values().next().copied().map(Subnet::of)
    }

    pub(super) fn all(&self) -> BTreeMap<ServiceId, Ipv4Addr> {
        self.given().by_service.clone()
    }

    /// The address of a service, or a new one of this range, on disk when this returns. `taken` are in use all the same.
    pub(super) fn give(
        &self,
        service: ServiceId,
        subnet: Subnet,
        taken: &[Ipv4Addr],
    ) -> io::Result<Ipv4Addr> {
        let mut given = self.given();
        if let Some(address) = given.by_service.get(&service) {
            return Ok(*address);
        }
        let used: Vec<_> = given.by_service.values().chain(taken).copied().collect();
        let address = next_free(subnet, given.last, &used)
            .ok_or_else(|| io::Error::other("every address for services is taken"))?;
        let mut after = given.clone();
        after.by_service.insert(service, address);
        after.last = Some(address);
        durable!("address.given", self.write(&after)?.replace())?;
        *given = after;
        Ok(address)
    }

    /// Has every address be one of this range, with the number that it had: its own was taken while nothing ran in it.
    pub(super) fn move_to(&self, subnet: Subnet) -> io::Result<()> {
        let mut given = self.given();
        let moved = |address: Ipv4Addr| subnet.host(u32::from(address) & 0xFFFF);
        let after = Given {
            by_service: given.by_service.iter().map(|(service, at)| (*service, moved(*at))).collect(),
            last: given.last.map(moved),
        };
        if after.by_service != given.by_service {
            durable!("address.moved", self.write(&after)?.replace())?;
            *given = after;
        }
        Ok(())
    }

    /// Takes an address back.
    pub(super) fn take_back(&self, service: ServiceId) -> io::Result<()> {
        let mut given = self.given();
        let mut after = given.clone();
        if after.by_service.remove(&service).is_some() {
            durable!("address.taken_back", self.write(&after)?.replace())?;
            *given = after;
        }
        Ok(())
    }

    fn write(&self, given: &Given) -> io::Result<Beside> {
        let services = given.by_service.iter().map(|(service, address)| (service.to_string(), *address));
        Beside::write(&self.file, serde_json::to_vec(&Kept { services: services.collect() })?)?.synced()
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kept_in(bytes: &[u8]) -> io::Result<BTreeMap<ServiceId, Ipv4Addr>> {
    let kept: Kept = serde_json::from_slice(bytes)?;
    let service =
        |(name, address): (String, Ipv4Addr)| Ok((name.parse().map_err(io::Error::other)?, address));
    kept.services.into_iter().map(service).collect()
}

/// The next one after the last that nobody has, and after the highest the lowest.
fn next_free(subnet: Subnet, last: Option<Ipv4Addr>, used: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    let all = || Subnet::SERVICES.map(|number| subnet.host(number));
    let mut after = all().filter(|address| last.is_none_or(|last| *address > last)).chain(all());
    after.find(|address| !used.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(number: u128) -> ServiceId {
        ServiceId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn an_address_is_kept_over_a_start_and_its_range_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("addresses.json");
        let subnet = Subnet::of(Ipv4Addr::new(10, 200, 0, 0));
        let addresses = Addresses::open(file.clone()).unwrap();
        assert_eq!(addresses.subnet(), None);
        let one = addresses.give(service(1), subnet, &[]).unwrap();
        let two = addresses.give(service(2), subnet, &[]).unwrap();
        assert_eq!((one, two), (Ipv4Addr::new(10, 200, 240, 0), Ipv4Addr::new(10, 200, 240, 1)));

        let anew = Addresses::open(file.clone()).unwrap();
        assert_eq!(anew.subnet(), Some(subnet));
        assert_eq!(anew.give(service(1), subnet, &[]).unwrap(), one);
        anew.take_back(service(2)).unwrap();
        anew.take_back(service(2)).unwrap();
        assert_eq!(Addresses::open(file.clone()).unwrap().all(), BTreeMap::from([(service(1), one)]));

        let other = Subnet::of(Ipv4Addr::new(10, 207, 0, 0));
        anew.move_to(other).unwrap();
        let moved = Addresses::open(file.clone()).unwrap();
        assert_eq!(
            (moved.subnet(), moved.all()),
            (Some(other), BTreeMap::from([(service(1), Ipv4Addr::new(10, 207, 240, 0))]))
        );

        std::fs::write(&file, "{\"services\": {").unwrap();
        assert!(Addresses::open(file).is_err(), "half a file is not an empty one");
    }

    #[test]
    fn nobody_is_given_what_somebody_has_or_just_left() {
        let subnet = Subnet::of(Ipv4Addr::new(10, 200, 0, 0));
        let (first, highest) = (Ipv4Addr::new(10, 200, 240, 0), Ipv4Addr::new(10, 200, 255, 254));
        let next = |last, used: &[Ipv4Addr]| next_free(subnet, last, used);
        assert_eq!(next(None, &[]), Some(first));
        assert_eq!(next(Some(first), &[]), Some(Ipv4Addr::new(10, 200, 240, 1)), "not the one just left");
        assert_eq!(next(Some(highest), &[]), Some(first), "from the beginning");
        assert_eq!(next(Some(highest), &[first]), Some(Ipv4Addr::new(10, 200, 240, 1)));
        let all: Vec<_> = Subnet::SERVICES.map(|number| subnet.host(number)).collect();
        assert_eq!(next(None, &all), None);
    }
}
