//! `/addon-attachments`, those of an app and of an add-on, and what is resolved to one.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::addon::{Attachment, AttachmentOrder};
use paddock_core::AppRef;
use paddock_wire as wire;
use paddock_wire::addon::PlanRef;
use paddock_wire::addon_attachment::AddonOf;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, delete, get, post, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::asked_more::AskedMore;
use crate::authentication::By;
use crate::body::Json;

const SORTED_BY: [Attribute<wire::AddonAttachment>; 2] = [
    Attribute { name: "id", key: |attachment| Key::Text(attachment.id.clone()) },
    Attribute { name: "name", key: |attachment| Key::Text(attachment.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/addon-attachments", list),
        post_once(Access::Token, "/addon-attachments", create),
        get(Access::Token, "/addon-attachments/{attachment}", info),
        delete(Access::Token, "/addon-attachments/{attachment}", destroy),
        get(Access::Token, "/addons/{addon}/addon-attachments", list_of_addon),
        get(Access::Token, "/apps/{app}/addon-attachments", list_of_app),
        get(Access::Token, "/apps/{app}/addon-attachments/{attachment}", info_of_app),
        post(Access::Token, "/actions/addon-attachments/resolve", resolve),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    more: AskedMore,
    State(api): State<Arc<Api>>,
) -> Reply<Vec<wire::AddonAttachment>> {
    let attachments = api.control.addons.list_attachments(&actor).await?;
    page(views(attachments, &more), &range, &SORTED_BY)
}

async fn list_of_addon(
    By(actor): By,
    Asked(range): Asked,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(addon): Segments<String>,
) -> Reply<Vec<wire::AddonAttachment>> {
    let attachments = api.control.addons.list_attachments_of_addon(&actor, &addon).await?;
    page(views(attachments, &more), &range, &SORTED_BY)
}

async fn list_of_app(
    By(actor): By,
    Asked(range): Asked,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::AddonAttachment>> {
    let attachments = api.control.addons.list_attachments_of_app(&actor, &app).await?;
    page(views(attachments, &more), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(attachment): Segments<String>,
) -> Reply<wire::AddonAttachment> {
    Ok(ok(view(api.control.addons.attachment(&actor, None, &attachment).await?, &more)))
}

async fn info_of_app(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), attachment)): Segments<(AppPath, String)>,
) -> Reply<wire::AddonAttachment> {
    Ok(ok(view(api.control.addons.attachment(&actor, Some(&app), &attachment).await?, &more)))
}

async fn create(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Json(body): Json<wire::addon_attachment::Create>,
) -> Reply<wire::AddonAttachment> {
    let app = AppRef::from(body.app.as_str().to_owned());
    let order = AttachmentOrder {
        addon: body.addon.as_str().to_owned(),
        name: body.name,
        namespace: body.namespace,
        replaces: body.confirm.is_some_and(|name| name == body.app.as_str()),
    };
    Ok(created(view(api.control.addons.attach(&actor, &app, order).await?, &more)))
}

async fn destroy(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Segments(attachment): Segments<String>,
) -> Reply<wire::AddonAttachment> {
    Ok(ok(view(api.control.addons.detach(&actor, &attachment).await?, &more)))
}

async fn resolve(
    By(actor): By,
    more: AskedMore,
    State(api): State<Arc<Api>>,
    Json(body): Json<wire::addon_attachment::Resolve>,
) -> Reply<Vec<wire::AddonAttachment>> {
    let app = body.app.map(AppRef::from);
    let service = body.addon_service.as_deref();
    let found = api.control.addons.resolve_attachments(&actor, &body.addon_attachment, app.as_ref(), service);
    Ok(ok(views(found.await?, &more)))
}

fn views(attachments: Vec<Attachment>, more: &AskedMore) -> Vec<wire::AddonAttachment> {
    attachments.into_iter().map(|attachment| view(attachment, more)).collect()
}

fn view(attachment: Attachment, more: &AskedMore) -> wire::AddonAttachment {
    let of = attachment.addon;
    let plan = PlanRef { id: of.plan.id.to_string(), name: of.plan.name, meters: Vec::new() };
    wire::AddonAttachment {
        addon: AddonOf {
            id: of.id.to_string(),
            name: of.name,
            app: wire::NamedRef { id: of.app_id.to_string(), name: of.app_name.to_string() },
            plan: more.names("addon:plan").then_some(plan),
        },
        app: wire::NamedRef { id: attachment.app_id.to_string(), name: attachment.app_name.to_string() },
        created_at: time(attachment.created_at),
        id: attachment.id.to_string(),
        name: attachment.name,
        namespace: attachment.namespace,
        updated_at: time(attachment.updated_at),
        web_url: None,
        log_input_url: None,
        config_vars: more.names("config_vars").then_some(attachment.config_vars),
    }
}
