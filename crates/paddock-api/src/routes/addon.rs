//! `/addons`, `/apps/{app}/addons` and what is resolved to one.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::addon::{Addon, AddonChange, AddonOrder};
use paddock_core::AppRef;
use paddock_core::config::ConfigVars;
use paddock_wire as wire;
use paddock_wire::addon::{PlanOf, PlanRef, ServiceOf};
use paddock_wire::named::Identity;
use paddock_wire::range::{Attribute, Key, Range};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, addon_service, delete, get, patch, post, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::asked_more::AskedMore;
use crate::authentication::By;
use crate::body::{Json, OptionalJson};

const SORTED_BY: [Attribute<wire::Addon>; 2] = [
    Attribute { name: "id", key: |addon| Key::Text(addon.id.clone()) },
    Attribute { name: "name", key: |addon| Key::Text(addon.name.clone()) },
];

/// They have no ids: clients that sort by one get them by name.
const CONFIG_SORTED_BY: [Attribute<wire::addon::Config>; 2] = [
    Attribute { name: "id", key: |var| Key::Text(var.name.clone()) },
    Attribute { name: "name", key: |var| Key::Text(var.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/addons", list),
        get(Access::Token, "/addons/{addon}", info),
        patch(Access::Token, "/addons/{addon}", update),
        get(Access::Token, "/addons/{addon}/config", config),
        get(Access::Token, "/addons/{addon}/config/{namespace}", config_of_credential),
        get(Access::Token, "/apps/{app}/addons", list_of_app),
        post_once(Access::Token, "/apps/{app}/addons", create),
        get(Access::Token, "/apps/{app}/addons/{addon}", info_of_app),
        patch(Access::Token, "/apps/{app}/addons/{addon}", update_of_app),
        delete(Access::Token, "/apps/{app}/addons/{addon}", destroy),
        get(Access::Token, "/users/{user}/addons", list_of_user),
        post(Access::Token, "/actions/addons/resolve", resolve),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    more: AskedMore,
    State(api): State<Arc<Api>>,
) -> Reply<Vec<wire::Addon>> {
    let addons = api.control.addons.list_addons(&actor).await?;
    page(views(addons, &more), &range, &SORTED_BY)
}

async fn list_of_user(
    By(actor): By,
    Asked(range): Asked,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(user): Segments<String>,
) -> Reply<Vec<wire::Addon>> {
    drop(api.control.people.account(&actor, &user).await?);
    let addons = api.control.addons.list_addons(&actor).await?;
    page(views(addons, &more), &range, &SORTED_BY)
}

async fn list_of_app(
    By(actor): By,
    Asked(range): Asked,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Addon>> {
    let addons = api.control.addons.list_addons_of_app(&actor, &app).await?;
    page(views(addons, &more), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(addon): Segments<String>,
) -> Reply<wire::Addon> {
    Ok(ok(view(api.control.addons.addon(&actor, None, &addon).await?, &more)))
}

async fn info_of_app(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), addon)): Segments<(AppPath, String)>,
) -> Reply<wire::Addon> {
    Ok(ok(view(api.control.addons.addon(&actor, Some(&app), &addon).await?, &more)))
}

async fn create(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<wire::addon::Create>,
) -> Reply<wire::Addon> {
    let order = AddonOrder {
        plan: body.plan.as_str().to_owned(),
        name: body.name,
        attachment: body.attachment.and_then(|attachment| attachment.name),
        options: body.config,
    };
    Ok(created(view(api.control.addons.create_addon(&actor, &app, order).await?, &more)))
}

async fn update(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(addon): Segments<String>,
    Json(body): Json<wire::addon::Update>,
) -> Reply<wire::Addon> {
    Ok(ok(view(api.control.addons.update_addon(&actor, None, &addon, change(body)).await?, &more)))
}

async fn update_of_app(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), addon)): Segments<(AppPath, String)>,
    Json(body): Json<wire::addon::Update>,
) -> Reply<wire::Addon> {
    Ok(ok(view(api.control.addons.update_addon(&actor, Some(&app), &addon, change(body)).await?, &more)))
}

fn change(body: wire::addon::Update) -> AddonChange {
    AddonChange { name: body.name, plan: body.plan.map(|plan: Identity| plan.as_str().to_owned()) }
}

async fn destroy(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), addon)): Segments<(AppPath, String)>,
    OptionalJson(body): OptionalJson<wire::addon::Destroy>,
) -> Reply<wire::Addon> {
    let sure = body.force.unwrap_or(false) || body.confirm.is_some_and(|name| AppRef::from(name) == app);
    Ok(ok(view(api.control.addons.destroy_addon(&actor, &app, &addon, sure).await?, &more)))
}

async fn config(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(addon): Segments<String>,
) -> Reply<Vec<wire::addon::Config>> {
    config_page(api.control.addons.addon_config(&actor, &addon, None).await?, &range)
}

async fn config_of_credential(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments((addon, namespace)): Segments<(String, String)>,
) -> Reply<Vec<wire::addon::Config>> {
    config_page(api.control.addons.addon_config(&actor, &addon, Some(&namespace)).await?, &range)
}

fn config_page(vars: ConfigVars, range: &Range) -> Reply<Vec<wire::addon::Config>> {
    let vars = vars.into_iter().map(|(name, value)| wire::addon::Config { name, value });
    page(vars.collect(), range, &CONFIG_SORTED_BY)
}

async fn resolve(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Json(body): Json<wire::addon::Resolve>,
) -> Reply<Vec<wire::Addon>> {
    let app = body.app.map(AppRef::from);
    let service = body.addon_service.as_deref();
    let found = api.control.addons.resolve_addons(&actor, &body.addon, app.as_ref(), service).await?;
    Ok(ok(views(found, &more)))
}

fn views(addons: Vec<Addon>, more: &AskedMore) -> Vec<wire::Addon> {
    addons.into_iter().map(|addon| view(addon, more)).collect()
}

fn view(addon: Addon, more: &AskedMore) -> wire::Addon {
    let app = wire::NamedRef { id: addon.app_id.to_string(), name: addon.app_name.to_string() };
    let plan = addon_service::plan_view(&addon.plan);
    let service = addon_service::view(&addon.plan.service);
    wire::Addon {
        actions: Vec::new(),
        billing_entity: wire::addon::BillingEntity {
            id: app.id.clone(),
            name: app.name.clone(),
            entity_type: "app".to_owned(),
        },
        app,
        billed_price: Some(plan.price.clone()),
        config_vars: addon.config_vars,
        created_at: time(addon.created_at),
        id: addon.id.to_string(),
        name: addon.name,
        provider_id: addon.id.to_string(),
        state: addon.state.to_owned(),
        updated_at: time(addon.updated_at),
        web_url: None,
        provision_message: addon.provision_message.unwrap_or_default(),
        plan: match more.names("plan") {
            true => PlanOf::Whole(Box::new(plan)),
            false => PlanOf::Named(PlanRef { id: plan.id, name: plan.name, meters: Vec::new() }),
        },
        addon_service: match more.names("addon_service") {
            true => ServiceOf::Whole(Box::new(service)),
            false => ServiceOf::Named(wire::NamedRef { id: service.id, name: service.name }),
        },
    }
}
