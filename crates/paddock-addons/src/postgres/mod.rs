//! Heroku Postgres: databases of PostgreSQL servers that run in containers.
//!
//! What the port asks for is in this file; what only this service has are further methods of [`Postgres`], each noun in its
//! file.

mod conf;
mod credential;
mod database;
mod diagnose;
mod extension;
mod fittings;
mod log_line;
mod names;
mod options;
mod plans;
mod restriction;
mod roles;
mod sample;
mod scram;
mod server;
mod session;
mod sessions;
mod size;
mod statistics;
mod toc;
mod transfer;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use async_trait::async_trait;

use crate::{
    Credential, Login, Order, Plan, Random, Refusal, Resource, Secret, ServerAccess, ServerOrder, ServerPlan,
    Service, ServiceInfo, StepError, Used,
};

pub use diagnose::{Cell, Check, Verdict};
pub use log_line::LogLine;
pub use plans::retention;
pub use sample::Sample;
pub use size::text as size_text;
pub use toc::{Contents, owned_by};
pub use transfer::{Complaint, DUMP, Errand, IN, LIST, Mode, OUT, RIGHTS, Rights, complaint};

/// The service, with the PostgreSQL versions that containers of the `host` stack have.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// By major version, the folder of `initdb` and `postgres` inside a container.
    programs: BTreeMap<u16, String>,
}

impl Postgres {
    /// The service where these versions are, each with the folder of its programs inside a container.
    pub fn new(programs: impl IntoIterator<Item = (u16, String)>) -> Self {
        Self { programs: programs.into_iter().collect() }
    }
}

#[async_trait]
impl Service for Postgres {
    fn info(&self) -> &'static ServiceInfo {
        &plans::INFO
    }

    fn check(&self, plan: &'static Plan, options: &BTreeMap<String, String>) -> Result<Order, Refusal> {
        self.check_order(plan, options)
    }

    fn change(&self, order: &Order, plan: &'static Plan, used: Used) -> Result<Order, Refusal> {
        self.check_change(order, plan, used)
    }

    fn name(&self, plan: &'static Plan, random: &mut Random<'_>) -> Resource {
        let credential = Credential { role: names::word('g', random), logins: vec![names::login(random)] };
        Resource { plan, database: names::word('d', random), credential }
    }

    fn new_login(&self, random: &mut Random<'_>) -> Login {
        names::login(random)
    }

    fn server(&self, order: &ServerOrder) -> Result<ServerPlan, Refusal> {
        self.server_plan(order)
    }

    async fn ready(&self, server: &ServerAccess) -> Result<(), StepError> {
        self.ready_server(server).await
    }

    async fn provision(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError> {
        self.provision_database(server, resource).await
    }

    async fn deprovision(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError> {
        self.deprovision_database(server, resource).await
    }

    fn config(
        &self,
        address: SocketAddr,
        resource: &Resource,
        login: &Login,
    ) -> BTreeMap<&'static str, Secret> {
        let (user, password, database) = (&login.user, login.password.reveal(), &resource.database);
        let url = format!("postgres://{user}:{password}@{address}/{database}");
        BTreeMap::from([("URL", Secret::new(url))])
    }
}
