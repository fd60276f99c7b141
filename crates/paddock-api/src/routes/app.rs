//! `/apps`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::{App, AppChange, AppOrder};
use paddock_wire as wire;
use paddock_wire::named::Identity;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{
    Access, AppPath, Endpoint, Segments, delete, generation, get, patch, post, post_once, region, stack,
};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::authentication::By;
use crate::body::{Json, OptionalJson};
use crate::client::Origin;

const SORTED_BY: [Attribute<wire::App>; 3] = [
    Attribute { name: "id", key: |app| Key::Text(app.id.clone()) },
    Attribute { name: "name", key: |app| Key::Text(app.name.clone()) },
    Attribute { name: "updated_at", key: |app| Key::Text(app.updated_at.to_string()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post_once(Access::Token, "/apps", create),
        get(Access::Token, "/apps", list),
        get(Access::Token, "/users/{user}/apps", list_of_user),
        post(Access::Token, "/filters/apps", filter),
        get(Access::Token, "/apps/{app}", info),
        patch(Access::Token, "/apps/{app}", update),
        delete(Access::Token, "/apps/{app}", destroy),
    ]
}

async fn create(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    OptionalJson(body): OptionalJson<wire::app::Create>,
) -> Reply<wire::App> {
    let order = AppOrder {
        name: body.name,
        stack: body.stack.map(text),
        region: body.region.map(text),
        features: body.feature_flags.unwrap_or_default(),
    };
    Ok(created(view(&api, &origin, api.control.apps.create_app(&actor, order).await?)))
}

async fn list(
    By(actor): By,
    origin: Origin,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
) -> Reply<Vec<wire::App>> {
    let apps = api.control.apps.list_apps(&actor).await?;
    page(apps.into_iter().map(|app| view(&api, &origin, app)).collect(), &range, &SORTED_BY)
}

async fn list_of_user(
    By(actor): By,
    origin: Origin,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(user): Segments<String>,
) -> Reply<Vec<wire::App>> {
    let apps = api.control.apps.list_apps_of_user(&actor, &user).await?;
    page(apps.into_iter().map(|app| view(&api, &origin, app)).collect(), &range, &SORTED_BY)
}

/// A list, not a creation, although it is asked for by POST: the ids would not fit into an address.
async fn filter(
    By(actor): By,
    origin: Origin,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    OptionalJson(body): OptionalJson<wire::app::Filter>,
) -> Reply<Vec<wire::App>> {
    let ids = body.among.and_then(|among| among.id);
    let apps = api.control.apps.list_apps(&actor).await?;
    let wanted = apps.into_iter().filter(|app| {
        let id = app.id.to_string();
        ids.as_ref().is_none_or(|ids| ids.contains(&id))
    });
    page(wanted.map(|app| view(&api, &origin, app)).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<wire::App> {
    Ok(ok(view(&api, &origin, api.control.apps.app(&actor, &app).await?)))
}

async fn update(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<wire::app::Update>,
) -> Reply<wire::App> {
    let change =
        AppChange { name: body.name, maintenance: body.maintenance, build_stack: body.build_stack.map(text) };
    Ok(ok(view(&api, &origin, api.control.apps.update_app(&actor, &app, change).await?)))
}

async fn destroy(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<wire::App> {
    Ok(ok(view(&api, &origin, api.control.apps.destroy_app(&actor, &app).await?)))
}

fn text(identity: Identity) -> String {
    identity.as_str().to_owned()
}

fn view(api: &Api, origin: &Origin, app: App) -> wire::App {
    let config = api.control.config();
    wire::App {
        acm: false,
        archived_at: None,
        base_image_name: None,
        build_stack: stack::reference(&app.build_stack),
        buildpack_provided_description: app.buildpack_description,
        buildpacks: None,
        created_at: time(app.created_at),
        current_build_architecture: Vec::new(),
        generation: generation::reference(),
        git_url: format!("https://{}/{}.git", origin.git_host(config), app.name),
        id: app.id.to_string(),
        internal_routing: false,
        maintenance: app.maintenance,
        web_url: Some(config.web_url(&app.name)),
        name: app.name.to_string(),
        owner: wire::UserRef { email: app.owner_email, id: app.owner_id.to_string() },
        organization: None,
        team: None,
        region: region::reference(),
        released_at: app.released_at.map(time),
        repo_size: app.repo_bytes,
        slug_size: app.slug_bytes,
        space: None,
        stack: stack::reference(&app.stack),
        updated_at: time(app.updated_at),
    }
}
