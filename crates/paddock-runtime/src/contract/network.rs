//! Services: their addresses, and who reaches them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use paddock_core::{ContainerId, ServiceId, Tenant};
use uuid::Uuid;

use super::{Act, Bench, ended, find, new_id, remove, wait_listening};
use crate::{ContainerSpec, Network, Reach};

fn new_service() -> ServiceId {
    ServiceId::from_uuid(Uuid::now_v7())
}

/// Starts the container of a service, which listens on this port.
async fn serve(bench: &dyn Bench, service: ServiceId, port: u16) -> ContainerId {
    let id = new_id();
    let spec = bench.spec(id, Act::Listen(port));
    bench.runtime().start(ContainerSpec { network: Network::Service(service), ..spec }).await.unwrap();
    wait_listening(bench, id, port).await;
    id
}

/// The same address each time, for one container after the other; no other service has it; released, it is nobody's.
pub(super) async fn a_service_keeps_its_address(bench: &dyn Bench) {
    let (runtime, service, other) = (bench.runtime(), new_service(), new_service());
    runtime.release_address(service).await.unwrap();
    let address = runtime.address_of(service).await.unwrap();
    assert_eq!(runtime.address_of(service).await.unwrap(), address);
    assert_ne!(runtime.address_of(other).await.unwrap(), address);
    for _ in 0..2 {
        let id = serve(bench, service, 5432).await;
        assert_eq!(find(bench, id).await.unwrap().address, Some(address));
        let second = new_id();
        let spec = bench.spec(second, Act::Listen(5432));
        let spec = ContainerSpec { network: Network::Service(service), ..spec };
        assert!(runtime.start(spec).await.is_err(), "one container at a time has it");
        assert_eq!(find(bench, second).await, None);
        assert!(runtime.release_address(service).await.is_err(), "a container has it");
        remove(bench, id).await;
        assert_eq!(runtime.address_of(service).await.unwrap(), address);
    }
    // One that was never asked for is given with the first container.
    let unasked = new_service();
    let id = serve(bench, unasked, 5432).await;
    assert_eq!(find(bench, id).await.unwrap().address, Some(runtime.address_of(unasked).await.unwrap()));
    remove(bench, id).await;
    for service in [service, service, other, unasked] {
        runtime.release_address(service).await.unwrap();
    }
}

/// Dynos of the tenants that may, by the ports that they may, as long as they may: nobody else.
pub(super) async fn a_service_is_reached_by_those_who_may(bench: &dyn Bench) {
    let (runtime, service, port) = (bench.runtime(), new_service(), 5432);
    let (attached, stranger) = (Tenant(7), Tenant(8));
    let address = runtime.address_of(service).await.unwrap();
    let may = |tenant| Reach { tenant, service, port };
    runtime.set_reach(BTreeSet::from([may(attached)])).await.unwrap();
    let id = serve(bench, service, port).await;
    assert!(connects(bench, attached, Network::Dyno, address, port).await);
    assert!(!connects(bench, stranger, Network::Dyno, address, port).await, "another tenant");
    assert!(!connects(bench, attached, Network::Outbound, address, port).await, "no dyno");
    assert!(!connects(bench, attached, Network::Dyno, address, port + 1).await, "another port");

    runtime.set_reach(BTreeSet::from([may(stranger)])).await.unwrap();
    assert!(!connects(bench, attached, Network::Dyno, address, port).await, "no more");
    assert!(connects(bench, stranger, Network::Dyno, address, port).await);
    runtime.reconcile_network().await.unwrap();
    assert!(connects(bench, stranger, Network::Dyno, address, port).await, "rules that were written anew");

    remove(bench, id).await;
    runtime.set_reach(BTreeSet::new()).await.unwrap();
    runtime.release_address(service).await.unwrap();
}

async fn connects(bench: &dyn Bench, tenant: Tenant, network: Network, address: IpAddr, port: u16) -> bool {
    let id = new_id();
    let spec = bench.spec(id, Act::Connect(address, port));
    bench.runtime().start(ContainerSpec { tenant, network, ..spec }).await.unwrap();
    let status = ended(bench, id).await.status;
    remove(bench, id).await;
    status == 0
}
