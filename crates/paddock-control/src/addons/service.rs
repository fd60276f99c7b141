//! What is on offer: services and their plans.

use paddock_core::ErrorId;

use super::Addons;
use super::view::{self, Plan, Service};
use crate::{Actor, Error, Result};

impl Addons {
    /// Every service.
    #[must_use]
    pub fn list_services(&self, _: &Actor) -> Vec<Service> {
        self.catalogue.services().map(|service| view::service(service.info())).collect()
    }

    /// One service, by name or id.
    pub fn service(&self, actor: &Actor, identity: &str) -> Result<Service> {
        let is_meant = |service: &Service| service.name == identity || service.id.to_string() == identity;
        let found = self.list_services(actor).into_iter().find(is_meant);
        found.ok_or_else(|| {
            let text = format!("Couldn't find the add-on service {identity:?}. See heroku addons:services for those there are.");
            Error::not_found_because("addon_service", text)
        })
    }

    /// The plans of a service, the default one first.
    pub fn list_plans(&self, actor: &Actor, service: &str) -> Result<Vec<Plan>> {
        let name = self.service(actor, service)?.name;
        let found = self.catalogue.service(name);
        Ok(found.map_or_else(Vec::new, |service| {
            service.info().plans.iter().map(|plan| view::plan(service.info(), plan)).collect()
        }))
    }

    /// One plan, by `SERVICE:PLAN` or id; within a service also by `PLAN`.
    pub fn plan(&self, actor: &Actor, service: Option<&str>, identity: &str) -> Result<Plan> {
        let services: Vec<_> = match service {
            Some(service) => vec![self.service(actor, service)?],
            None => self.list_services(actor),
        };
        for of in &services {
            let is_meant = |plan: &Plan| {
                let short =
                    service.is_some() && plan.name.strip_prefix(of.name) == Some(&format!(":{identity}"));
                plan.name == identity || plan.id.to_string() == identity || short
            };
            if let Some(plan) = self.list_plans(actor, of.name)?.into_iter().find(is_meant) {
                return Ok(plan);
            }
        }
        Err(Error::new(ErrorId::NotFound, "Couldn't find that plan."))
    }
}
