//! The fake's network: addresses, and who would reach whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{MutexGuard, PoisonError};

use paddock_core::{ContainerId, ServiceId};

use super::{Container, FakeRuntime};
use crate::{ContainerSpec, ContainerState, Network, Reach, RuntimeError};

/// What services have, and who may reach them.
#[derive(Debug, Default)]
pub(super) struct Services {
    addresses: BTreeMap<ServiceId, IpAddr>,
    pub(super) reach: BTreeSet<Reach>,
    /// How many were ever given: none is given twice.
    given: u8,
}

impl Services {
    pub(super) fn address_of(&mut self, service: ServiceId) -> Result<IpAddr, RuntimeError> {
        if let Some(address) = self.addresses.get(&service) {
            return Ok(*address);
        }
        let next = self.given.checked_add(1).ok_or_else(|| refused("every address was given"))?;
        self.given = next;
        let address = Ipv4Addr::new(198, 51, 100, next).into();
        self.addresses.insert(service, address);
        Ok(address)
    }
}

impl FakeRuntime {
    /// Who may reach what, as it was last said.
    #[must_use]
    pub fn reach(&self) -> BTreeSet<Reach> {
        self.services().reach.clone()
    }

    /// The addresses that services have.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<ServiceId, IpAddr> {
        self.services().addresses.clone()
    }

    pub(super) fn services(&self) -> MutexGuard<'_, Services> {
        self.0.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn address_for(
        &self,
        spec: &ContainerSpec,
        containers: &BTreeMap<ContainerId, Container>,
    ) -> Result<Option<IpAddr>, RuntimeError> {
        match spec.network {
            Network::None => Ok(None),
            Network::Outbound | Network::Dyno => {
                let host = u8::try_from(2 + containers.len() % 250).unwrap_or(2);
                Ok(Some(Ipv4Addr::new(192, 0, 2, host).into()))
            }
            Network::Service(service) => match holder(containers, service) {
                Some(other) => Err(refused(&format!("container {other} has the address of {service}"))),
                None => self.services().address_of(service).map(Some),
            },
        }
    }

    pub(super) fn forget_address(&self, service: ServiceId) -> Result<(), RuntimeError> {
        if let Some(other) = holder(&self.containers(), service) {
            return Err(refused(&format!("container {other} has the address of {service}")));
        }
        self.services().addresses.remove(&service);
        Ok(())
    }

    /// Whether something listens there that this container may reach.
    pub(super) fn reaches(&self, from: &ContainerSpec, address: IpAddr, port: u16) -> bool {
        let containers = self.containers();
        let listener = containers.values().find(|container| {
            container.address == Some(address)
                && container.state == ContainerState::Running
                && container.listening.iter().any(|listening| listening.port() == port)
        });
        match listener.map(|container| container.spec.network) {
            Some(Network::Service(service)) => {
                let reach = Reach { tenant: from.tenant, service, port };
                from.network == Network::Dyno && self.services().reach.contains(&reach)
            }
            _ => false,
        }
    }
}

/// The container of a service, ended or not.
fn holder(containers: &BTreeMap<ContainerId, Container>, service: ServiceId) -> Option<ContainerId> {
    let mut all = containers.iter();
    all.find(|(_, container)| container.spec.network == Network::Service(service)).map(|(id, _)| *id)
}

fn refused(reason: &str) -> RuntimeError {
    RuntimeError::host("give a service its address", reason)
}
