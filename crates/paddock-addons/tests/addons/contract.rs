//! PostgreSQL and the fake keep the contract of a service.

use std::collections::BTreeSet;

use paddock_addons::contract::{Bench, Check};
use paddock_addons::fake::FakeService;
use paddock_addons::{Login, Resource, Secret, ServerAccess, Service};

use crate::bench::Server;
use crate::client::{Client, traces};

struct Fake {
    service: FakeService,
    access: ServerAccess,
}

#[async_trait::async_trait]
impl Bench for Fake {
    fn service(&self) -> &dyn Service {
        &self.service
    }

    fn access(&self) -> &ServerAccess {
        &self.access
    }

    async fn traces(&self) -> BTreeSet<String> {
        self.service.on(self.access.address).keys().cloned().collect()
    }

    async fn is_let_in(&self, resource: &Resource, login: &Login) -> bool {
        let made = self.service.on(self.access.address);
        made.get(&resource.database).is_some_and(|made| made.users.contains(&login.user))
    }
}

fn on_fake(check: Check) {
    let access = ServerAccess {
        address: "10.0.0.1:5432".parse().unwrap(),
        password: Secret::new("x"),
        authority: String::new(),
    };
    block_on(check(&Fake { service: FakeService::default(), access }));
}

#[async_trait::async_trait]
impl Bench for Server {
    fn service(&self) -> &dyn Service {
        &self.service
    }

    fn access(&self) -> &ServerAccess {
        &self.access
    }

    async fn traces(&self) -> BTreeSet<String> {
        traces(self).await.into_iter().collect()
    }

    async fn is_let_in(&self, resource: &Resource, login: &Login) -> bool {
        match Client::open(self, login, &resource.database).await {
            Ok(client) => {
                client.close().await;
                true
            }
            Err(_) => false,
        }
    }
}

fn on_postgres(check: Check) {
    block_on(async {
        if let Some(server) = Server::shared().await {
            check(&server).await;
        }
    });
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

mod fake {
    paddock_addons::contract_tests!(super::on_fake);
}

mod postgres {
    paddock_addons::contract_tests!(super::on_postgres);
}
