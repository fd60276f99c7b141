//! The port: what control needs of a service.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use async_trait::async_trait;

use crate::{
    Login, Order, Plan, Random, Refusal, Resource, Secret, ServerAccess, ServerOrder, ServerPlan,
    ServiceInfo, StepError, Used,
};

/// One add-on service. Every step may be repeated with the same arguments, whatever became of the time before.
#[async_trait]
pub trait Service: Send + Sync {
    /// What it is and offers.
    fn info(&self) -> &'static ServiceInfo;

    /// What `addons:create SERVICE:PLAN -- --version 17 …` asks for.
    ///
    /// # Errors
    /// What is not to be had, in a sentence for the user.
    fn check(&self, plan: &'static Plan, options: &BTreeMap<String, String>) -> Result<Order, Refusal>;

    /// What becomes of an order when its plan is changed. The add-on stays where it is.
    ///
    /// # Errors
    /// It does not fit, or would have to move: a sentence for the user.
    fn change(&self, order: &Order, plan: &'static Plan, used: Used) -> Result<Order, Refusal>;

    /// Names and secrets for what was ordered. They are kept before the first step.
    fn name(&self, plan: &'static Plan, random: &mut Random<'_>) -> Resource;

    /// Another user and password for a credential.
    fn new_login(&self, random: &mut Random<'_>) -> Login;

    /// What to run for a server.
    ///
    /// # Errors
    /// There is no such version here.
    fn server(&self, order: &ServerOrder) -> Result<ServerPlan, Refusal>;

    /// Brings a server that answers to what every one of this kind must be.
    async fn ready(&self, server: &ServerAccess) -> Result<(), StepError>;

    /// Makes an add-on on its server, or brings one that is there to its plan and its logins.
    async fn provision(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError>;

    /// Takes it down; nothing is left of it.
    async fn deprovision(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError>;

    /// The config vars of an attachment, by their suffixes: `URL`.
    fn config(
        &self,
        address: SocketAddr,
        resource: &Resource,
        login: &Login,
    ) -> BTreeMap<&'static str, Secret>;
}
