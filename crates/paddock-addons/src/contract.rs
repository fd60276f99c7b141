//! What every service does, as tests that take one.
//!
//! A service's tests implement [`Bench`] and have [`contract_tests!`](crate::contract_tests) make a test of each check. A check
//! panics with what it saw. What only a real server can show is tested where the service is.
#![allow(clippy::unwrap_used, reason = "these are tests, in a library so that every service can run them")]

use std::collections::BTreeSet;
use std::pin::Pin;

use async_trait::async_trait;

use crate::{Login, Placement, Plan, Resource, ServerAccess, Service};

/// A service under test, with a server that is ready.
#[async_trait]
pub trait Bench: Sync {
    /// The service.
    fn service(&self) -> &dyn Service;
    /// The server; it is a shared one and empty.
    fn access(&self) -> &ServerAccess;
    /// The names of everything that resources have there.
    async fn traces(&self) -> BTreeSet<String>;
    /// Whether somebody can use a resource now.
    async fn is_let_in(&self, resource: &Resource, login: &Login) -> bool;
}

/// One check.
pub type Check = for<'a> fn(&'a dyn Bench) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Makes a test of each check: `contract_tests!(run)` with a function that takes a [`Check`] and gives it a service.
#[macro_export]
macro_rules! contract_tests {
    ($run:path) => {
        $crate::contract_tests! { $run:
            what_is_on_offer_can_be_told_apart
            names_are_made_anew_each_time
            provisioning_twice_is_once
            deprovisioning_leaves_nothing
            what_never_was_is_taken_down
            a_second_login_comes_beside_the_first
            a_plan_changes_in_place
            a_neighbour_is_not_touched
        }
    };
    ($run:path: $($check:ident)*) => {
        $(#[test] fn $check() { $run(|bench| Box::pin($crate::contract::check::$check(bench))) })*
    };
}

/// Numbers that are different each time, and the same in each run.
fn numbers() -> impl FnMut(&mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
    }
}

fn shared(bench: &dyn Bench) -> &'static Plan {
    let plans = bench.service().info().plans;
    plans.iter().find(|plan| plan.placement == Placement::Shared).expect("it has a plan on a shared server")
}

async fn made(bench: &dyn Bench, random: &mut dyn FnMut(&mut [u8])) -> Resource {
    let resource = bench.service().name(shared(bench), random);
    bench.service().provision(bench.access(), &resource).await.unwrap();
    resource
}

/// The checks.
#[expect(missing_docs, reason = "their names say what they check")]
pub mod check {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Used;

    pub async fn what_is_on_offer_can_be_told_apart(bench: &dyn Bench) {
        let info = bench.service().info();
        let names: Vec<&str> =
            info.plans.iter().flat_map(|plan| [&[plan.name], plan.aliases].concat()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        for plan in info.plans {
            let order = bench.service().check(plan, &BTreeMap::new()).unwrap();
            assert_eq!(order.plan, plan);
        }
        let nonsense = BTreeMap::from([("nonsense".to_owned(), "true".to_owned())]);
        bench.service().check(shared(bench), &nonsense).unwrap_err();
    }

    pub async fn names_are_made_anew_each_time(bench: &dyn Bench) {
        let (service, mut random) = (bench.service(), numbers());
        let (one, other) =
            (service.name(shared(bench), &mut random), service.name(shared(bench), &mut random));
        let address = bench.access().address;
        let suffixes: Vec<&str> = service.info().config_suffixes.to_vec();
        let config = |resource: &Resource| service.config(address, resource, &resource.credential.logins[0]);
        assert_eq!(config(&one).into_keys().collect::<Vec<_>>(), suffixes);
        for suffix in suffixes {
            assert_ne!(config(&one)[suffix], config(&other)[suffix]);
            assert_eq!(config(&one)[suffix], config(&one)[suffix]);
        }
        assert_ne!(one.database, other.database);
        assert_ne!(one.credential.logins[0].password, other.credential.logins[0].password);
    }

    pub async fn provisioning_twice_is_once(bench: &dyn Bench) {
        let resource = made(bench, &mut numbers()).await;
        let once = bench.traces().await;
        assert!(!once.is_empty() && bench.is_let_in(&resource, &resource.credential.logins[0]).await);
        bench.service().provision(bench.access(), &resource).await.unwrap();
        assert_eq!(bench.traces().await, once);
        assert!(bench.is_let_in(&resource, &resource.credential.logins[0]).await);
    }

    pub async fn deprovisioning_leaves_nothing(bench: &dyn Bench) {
        let resource = made(bench, &mut numbers()).await;
        for _ in 0..2 {
            bench.service().deprovision(bench.access(), &resource).await.unwrap();
            assert_eq!(bench.traces().await, BTreeSet::new());
        }
        assert!(!bench.is_let_in(&resource, &resource.credential.logins[0]).await);
    }

    pub async fn what_never_was_is_taken_down(bench: &dyn Bench) {
        let resource = bench.service().name(shared(bench), &mut numbers());
        bench.service().deprovision(bench.access(), &resource).await.unwrap();
        assert_eq!(bench.traces().await, BTreeSet::new());
    }

    pub async fn a_second_login_comes_beside_the_first(bench: &dyn Bench) {
        let mut random = numbers();
        let mut resource = made(bench, &mut random).await;
        resource.credential.logins.push(bench.service().new_login(&mut random));
        bench.service().provision(bench.access(), &resource).await.unwrap();
        for login in &resource.credential.logins {
            assert!(bench.is_let_in(&resource, login).await, "{}", login.user);
        }
    }

    pub async fn a_plan_changes_in_place(bench: &dyn Bench) {
        let (service, mut resource) = (bench.service(), made(bench, &mut numbers()).await);
        let order = service.check(resource.plan, &BTreeMap::new()).unwrap();
        let full = Used { storage_bytes: resource.plan.storage_bytes + 1, tables: 0 };
        service.change(&order, resource.plan, full).unwrap_err();
        let own = service.info().plans.iter().find(|plan| plan.placement == Placement::Own);
        if let Some(own) = own {
            service.change(&order, own, Used::default()).unwrap_err();
        }
        let before = bench.traces().await;
        for plan in service.info().plans.iter().filter(|plan| plan.placement == Placement::Shared) {
            let changed = service.change(&order, plan, Used::default()).unwrap();
            assert_eq!((changed.plan, &changed.version), (plan, &order.version));
            resource.plan = plan;
            service.provision(bench.access(), &resource).await.unwrap();
            assert_eq!(bench.traces().await, before);
        }
    }

    pub async fn a_neighbour_is_not_touched(bench: &dyn Bench) {
        let mut random = numbers();
        let one = made(bench, &mut random).await;
        let before = bench.traces().await;
        let other = made(bench, &mut random).await;
        bench.service().deprovision(bench.access(), &other).await.unwrap();
        assert_eq!(bench.traces().await, before);
        assert!(bench.is_let_in(&one, &one.credential.logins[0]).await);
    }
}
