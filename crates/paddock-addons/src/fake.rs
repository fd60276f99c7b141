//! A service in memory, for tests of what is above: its servers are their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use paddock_runtime::Limits;

use crate::{
    Credential, Family, Login, Order, Placement, Plan, Random, Refusal, Resource, Secret, ServerAccess,
    ServerOrder, ServerPlan, Service, ServiceInfo, StepError, Used,
};

const SMALL: Plan = Plan {
    name: "small",
    aliases: &["tiny"],
    human_name: "Small",
    price_cents: 500,
    placement: Placement::Shared,
    memory_bytes: 0,
    cpu_millicores: 0,
    storage_bytes: 1000,
    connections: 2,
    tables: Some(10),
};

const INFO: ServiceInfo = ServiceInfo {
    name: "heroku-fake",
    human_name: "Heroku Fake",
    addon_prefix: "fake",
    first_attachment: "FAKE",
    colour_prefix: "HEROKU_FAKE",
    config_suffixes: &["URL"],
    plans: &[
        SMALL,
        Plan {
            name: "large",
            aliases: &[],
            human_name: "Large",
            price_cents: 5000,
            placement: Placement::Own,
            memory_bytes: 64 << 20,
            cpu_millicores: 1000,
            storage_bytes: 100_000,
            connections: 20,
            tables: None,
        },
    ],
    families: &[Family { prefix: "premium", refusal: "Premium plans of the fake are not built yet." }],
    supports_sharing: true,
};

/// The service, with all its servers.
#[derive(Default)]
pub struct FakeService {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    servers: BTreeMap<SocketAddr, BTreeMap<String, Made>>,
    away: BTreeSet<SocketAddr>,
    refused: BTreeSet<String>,
    asked: BTreeMap<SocketAddr, usize>,
}

/// What was made of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its plan's name.
    pub plan: &'static str,
    /// Who may log in.
    pub users: Vec<String>,
}

impl FakeService {
    /// What is on a server, by the names of databases.
    pub fn on(&self, server: SocketAddr) -> BTreeMap<String, Made> {
        self.state().servers.get(&server).cloned().unwrap_or_default()
    }

    /// Lets a server answer no step, or answer again.
    pub fn set_away(&self, server: SocketAddr, away: bool) {
        let mut state = self.state();
        if away {
            state.away.insert(server);
        } else {
            state.away.remove(&server);
        }
    }

    /// Lets a database be made no more, by its name, or again.
    pub fn refuse(&self, database: &str, refused: bool) {
        let mut state = self.state();
        if refused {
            state.refused.insert(database.to_owned());
        } else {
            state.refused.remove(database);
        }
    }

    /// How often a step was tried on a server, answered or not.
    pub fn asked(&self, server: SocketAddr) -> usize {
        self.state().asked.get(&server).copied().unwrap_or(0)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    fn reached(&self, server: &ServerAccess) -> Result<std::sync::MutexGuard<'_, State>, StepError> {
        let mut state = self.state();
        *state.asked.entry(server.address).or_default() += 1;
        if state.away.contains(&server.address) {
            return Err(StepError::new("connect to the fake server", "it is away"));
        }
        Ok(state)
    }
}

fn word(letter: char, random: &mut Random<'_>) -> String {
    let mut bytes = [0; 8];
    random(&mut bytes);
    format!("{letter}{:016x}", u64::from_be_bytes(bytes))
}

#[async_trait]
impl Service for FakeService {
    fn info(&self) -> &'static ServiceInfo {
        &INFO
    }

    fn check(&self, plan: &'static Plan, options: &BTreeMap<String, String>) -> Result<Order, Refusal> {
        match options.keys().next() {
            Some(option) => Err(Refusal::new(format!("The fake has no option {option}."))),
            None => Ok(Order { plan, version: "1".to_owned() }),
        }
    }

    fn change(&self, order: &Order, plan: &'static Plan, used: Used) -> Result<Order, Refusal> {
        if plan.placement != order.plan.placement {
            return Err(Refusal::new("The fake does not move."));
        }
        if used.storage_bytes > plan.storage_bytes {
            return Err(Refusal::new("More is stored than that plan has room for."));
        }
        Ok(Order { plan, version: order.version.clone() })
    }

    fn name(&self, plan: &'static Plan, random: &mut Random<'_>) -> Resource {
        let credential = Credential { role: word('g', random), logins: vec![self.new_login(random)] };
        Resource { plan, database: word('d', random), credential }
    }

    fn new_login(&self, random: &mut Random<'_>) -> Login {
        Login { user: word('u', random), password: Secret::new(word('p', random)) }
    }

    fn server(&self, order: &ServerOrder) -> Result<ServerPlan, Refusal> {
        if order.version != "1" {
            return Err(Refusal::new("The fake has version 1 only."));
        }
        Ok(ServerPlan {
            command: vec!["fake-print-then-run".to_owned(), "ready".to_owned()],
            files: Vec::new(),
            env: Vec::new(),
            limits: Limits {
                memory_bytes: order.memory_bytes,
                cpu_millicores: order.machine_millicores,
                cpu_weight: 100,
                pids: 64,
            },
            data: "/data",
            port: 5432,
        })
    }

    async fn ready(&self, server: &ServerAccess) -> Result<(), StepError> {
        self.reached(server).map(drop)
    }

    async fn provision(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError> {
        let users = resource.credential.logins.iter().map(|login| login.user.clone()).collect();
        let made = Made { plan: resource.plan.name, users };
        let mut state = self.reached(server)?;
        if state.refused.contains(&resource.database) {
            return Err(StepError::new("make a database on the fake server", "it refuses to"));
        }
        state.servers.entry(server.address).or_default().insert(resource.database.clone(), made);
        Ok(())
    }

    async fn deprovision(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError> {
        let mut state = self.reached(server)?;
        state.servers.entry(server.address).or_default().remove(&resource.database);
        Ok(())
    }

    fn config(
        &self,
        address: SocketAddr,
        resource: &Resource,
        login: &Login,
    ) -> BTreeMap<&'static str, Secret> {
        let url =
            format!("fake://{}:{}@{address}/{}", login.user, login.password.reveal(), resource.database);
        BTreeMap::from([("URL", Secret::new(url))])
    }
}
