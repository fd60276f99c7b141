//! `/addon-services` and the plans of each.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::addon::{Plan, Service};
use paddock_control::fixed_since;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, Endpoint, Segments, get};
use crate::Api;
use crate::answer::{Asked, Reply, ok, page};
use crate::authentication::By;

const SERVICES_SORTED_BY: [Attribute<wire::AddonService>; 2] = [
    Attribute { name: "id", key: |service| Key::Text(service.id.clone()) },
    Attribute { name: "name", key: |service| Key::Text(service.name.clone()) },
];

const PLANS_SORTED_BY: [Attribute<wire::Plan>; 2] = [
    Attribute { name: "id", key: |plan| Key::Text(plan.id.clone()) },
    Attribute { name: "name", key: |plan| Key::Text(plan.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/addon-services", list),
        get(Access::Token, "/addon-services/{service}", info),
        get(Access::Token, "/addon-services/{service}/plans", plans),
        get(Access::Token, "/addon-services/{service}/plans/{plan}", plan_of_service),
        get(Access::Token, "/plans/{plan}", plan),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
) -> Reply<Vec<wire::AddonService>> {
    let services = api.control.addons.list_services(&actor);
    page(services.iter().map(view).collect(), &range, &SERVICES_SORTED_BY)
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(service): Segments<String>,
) -> Reply<wire::AddonService> {
    Ok(ok(view(&api.control.addons.service(&actor, &service)?)))
}

async fn plans(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(service): Segments<String>,
) -> Reply<Vec<wire::Plan>> {
    let plans = api.control.addons.list_plans(&actor, &service)?;
    page(plans.iter().map(plan_view).collect(), &range, &PLANS_SORTED_BY)
}

async fn plan_of_service(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((service, plan)): Segments<(String, String)>,
) -> Reply<wire::Plan> {
    Ok(ok(plan_view(&api.control.addons.plan(&actor, Some(&service), &plan)?)))
}

async fn plan(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(plan): Segments<String>,
) -> Reply<wire::Plan> {
    Ok(ok(plan_view(&api.control.addons.plan(&actor, None, &plan)?)))
}

pub(super) fn view(service: &Service) -> wire::AddonService {
    wire::AddonService {
        cli_plugin_name: None,
        created_at: time(fixed_since()),
        human_name: service.human_name.to_owned(),
        id: service.id.to_string(),
        name: service.name.to_owned(),
        state: "ga".to_owned(),
        supports_multiple_installations: true,
        supports_sharing: service.supports_sharing,
        updated_at: time(fixed_since()),
        supported_generations: Vec::new(),
    }
}

pub(super) fn plan_view(plan: &Plan) -> wire::Plan {
    wire::Plan {
        addon_service: wire::NamedRef { id: plan.service.id.to_string(), name: plan.service.name.to_owned() },
        created_at: time(fixed_since()),
        compliance: None,
        default: plan.default,
        description: format!("{} {}", plan.service.human_name, plan.human_name),
        human_name: plan.human_name.to_owned(),
        id: plan.id.to_string(),
        installable_inside_private_network: false,
        installable_outside_private_network: true,
        name: plan.name.clone(),
        price: wire::plan::Price {
            cents: plan.price_cents,
            contract: false,
            metered: false,
            unit: "month".to_owned(),
        },
        space_default: false,
        state: "public".to_owned(),
        updated_at: time(fixed_since()),
        visible: true,
    }
}
