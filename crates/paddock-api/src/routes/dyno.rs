//! `/apps/{app}/dynos`: what runs, restarting and stopping it, and one-off dynos.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::dyno::{Dyno, DynoOrder, DynoScope, Started};
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, delete, get, post, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, accepted, created, ok, page};
use crate::authentication::By;
use crate::body::Json;
use crate::client::Origin;

const SORTED_BY: [Attribute<wire::Dyno>; 2] = [
    Attribute { name: "id", key: |dyno| Key::Text(dyno.id.clone()) },
    Attribute { name: "name", key: |dyno| Key::Text(dyno.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/dynos", list),
        post_once(Access::Token, "/apps/{app}/dynos", create),
        delete(Access::Token, "/apps/{app}/dynos", restart_all),
        get(Access::Token, "/apps/{app}/dynos/{dyno}", info),
        delete(Access::Token, "/apps/{app}/dynos/{dyno}", restart),
        post(Access::Token, "/apps/{app}/dynos/{dyno}/actions/stop", stop),
        delete(Access::Token, "/apps/{app}/formations/{type}", restart_type),
        post(Access::Token, "/apps/{app}/formations/{type}/actions/stop", stop_type),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Dyno>> {
    let dynos = api.control.dynos.list_dynos(&actor, &app).await?;
    page(dynos.into_iter().map(|dyno| view(dyno, None)).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), dyno)): Segments<(AppPath, String)>,
) -> Reply<wire::Dyno> {
    Ok(ok(view(api.control.dynos.dyno(&actor, &app, &dyno).await?, None)))
}

async fn create(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<wire::dyno::Create>,
) -> Reply<wire::Dyno> {
    let started = api.control.dynos.run_dyno(&actor, &app, order(body)).await?;
    Ok(created(view_started(started, &origin)))
}

async fn restart_all(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<wire::Empty> {
    api.control.dynos.restart_dynos(&actor, &app, DynoScope::All).await?;
    Ok(accepted())
}

async fn restart(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), dyno)): Segments<(AppPath, String)>,
) -> Reply<wire::Empty> {
    api.control.dynos.restart_dynos(&actor, &app, DynoScope::Dyno(dyno)).await?;
    Ok(accepted())
}

async fn restart_type(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), process_type)): Segments<(AppPath, String)>,
) -> Reply<wire::Empty> {
    api.control.dynos.restart_dynos(&actor, &app, DynoScope::ProcessType(process_type)).await?;
    Ok(accepted())
}

async fn stop(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), dyno)): Segments<(AppPath, String)>,
) -> Reply<wire::Empty> {
    api.control.dynos.stop_dynos(&actor, &app, DynoScope::Dyno(dyno)).await?;
    Ok(accepted())
}

async fn stop_type(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), process_type)): Segments<(AppPath, String)>,
) -> Reply<wire::Empty> {
    api.control.dynos.stop_dynos(&actor, &app, DynoScope::ProcessType(process_type)).await?;
    Ok(accepted())
}

fn order(body: wire::dyno::Create) -> DynoOrder {
    DynoOrder {
        command: body.command,
        attach: body.attach.unwrap_or(false),
        env: body.env.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect(),
        force_no_tty: body.force_no_tty.unwrap_or(false),
        size: body.size,
        process_type: body.process_type,
        time_to_live_seconds: body.time_to_live,
    }
}

/// The path of a rendezvous URL is the secret; the client wants an explicit port.
fn view_started(started: Started, origin: &Origin) -> wire::Dyno {
    let attach_url =
        started.attach_secret.map(|secret| format!("rendezvous://{}/{secret}", origin.host_and_port()));
    view(started.dyno, attach_url)
}

fn view(dyno: Dyno, attach_url: Option<String>) -> wire::Dyno {
    wire::Dyno {
        attach_url,
        command: dyno.command,
        created_at: time(dyno.created_at),
        id: dyno.id.to_string(),
        name: dyno.name.to_string(),
        release: wire::dyno::ReleaseRef { id: dyno.release_id.to_string(), version: dyno.release_version },
        app: wire::NamedRef { id: dyno.app_id.to_string(), name: dyno.app_name.to_string() },
        size: dyno.size.as_str().to_owned(),
        state: dyno.state.as_str().to_owned(),
        process_type: dyno.name.process_type.to_string(),
        updated_at: time(dyno.updated_at),
    }
}
