//! Add-ons, attachments, services and plans, as shown to those who may see them.

use paddock_addons::{Catalogue, ServiceInfo};
use paddock_core::{AddonId, AppId, AppName, AttachmentId, UnixMicros};
use uuid::Uuid;

use crate::fixed_id;

/// A service of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub id: Uuid,
    pub name: &'static str,
    pub human_name: &'static str,
    pub supports_sharing: bool,
}

/// A plan of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub id: Uuid,
    pub service: Service,
    /// `heroku-postgresql:essential-0`.
    pub name: String,
    pub human_name: &'static str,
    /// Cents a month; shown, never charged.
    pub price_cents: i64,
    /// Whether it is taken when none is named.
    pub default: bool,
}

/// An add-on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addon {
    pub id: AddonId,
    pub name: String,
    /// The app that it is billed to.
    pub app_id: AppId,
    pub app_name: AppName,
    pub plan: Plan,
    pub state: &'static str,
    /// Names of what the app has of it.
    pub config_vars: Vec<String>,
    pub provision_message: Option<String>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

/// An app's name for an add-on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub id: AttachmentId,
    pub name: String,
    /// `credential:NAME`, but for the default credential.
    pub namespace: Option<String>,
    pub app_id: AppId,
    pub app_name: AppName,
    pub addon: AttachedAddon,
    pub config_vars: Vec<String>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

/// The add-on of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedAddon {
    pub id: AddonId,
    pub name: String,
    pub app_id: AppId,
    pub app_name: AppName,
    pub plan: Plan,
}

pub(crate) fn service(info: &ServiceInfo) -> Service {
    Service {
        id: fixed_id("addon-service", info.name),
        name: info.name,
        human_name: info.human_name,
        supports_sharing: info.supports_sharing,
    }
}

pub(crate) fn plan(info: &ServiceInfo, plan: &paddock_addons::Plan) -> Plan {
    let name = format!("{}:{}", info.name, plan.name);
    Plan {
        id: fixed_id("plan", &name),
        service: service(info),
        name,
        human_name: plan.human_name,
        price_cents: i64::from(plan.price_cents),
        default: info.plans.first().is_some_and(|first| first.name == plan.name),
    }
}

/// The plan of a row. A row is only ever written with a plan of the catalogue; of one that a later version has, the name is known.
pub(crate) fn plan_of(catalogue: &Catalogue, service_name: &str, plan_name: &str) -> Option<Plan> {
    let info = catalogue.service(service_name)?.info();
    let found = info.plan(Some(plan_name)).ok()?;
    Some(plan(info, found))
}
