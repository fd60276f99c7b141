//! `/apps/{app}/domains`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::domain::Domain;
use paddock_core::ErrorId;
use paddock_wire as wire;
use paddock_wire::named::Identity;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, delete, get, patch, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::authentication::By;
use crate::body::Json;
use crate::problem::Problem;

const SORTED_BY: [Attribute<wire::Domain>; 2] = [
    Attribute { name: "id", key: |domain| Key::Text(domain.id.clone()) },
    Attribute { name: "hostname", key: |domain| Key::Text(domain.hostname.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/domains", list),
        post_once(Access::Token, "/apps/{app}/domains", create),
        get(Access::Token, "/apps/{app}/domains/{domain}", info),
        patch(Access::Token, "/apps/{app}/domains/{domain}", update),
        delete(Access::Token, "/apps/{app}/domains/{domain}", remove),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Domain>> {
    let domains = api.control.routing.list_domains(&actor, &app).await?;
    page(domains.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn create(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<wire::domain::Create>,
) -> Reply<wire::Domain> {
    refuse_certificate(body.sni_endpoint.as_ref())?;
    Ok(created(view(api.control.routing.add_domain(&actor, &app, &body.hostname).await?)))
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), domain)): Segments<(AppPath, String)>,
) -> Reply<wire::Domain> {
    Ok(ok(view(api.control.routing.domain(&actor, &app, &domain).await?)))
}

/// A domain has one thing that can be changed, its certificate, and only "none" of that is built.
async fn update(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), domain)): Segments<(AppPath, String)>,
    Json(body): Json<wire::domain::Update>,
) -> Reply<wire::Domain> {
    let domain = api.control.routing.domain(&actor, &app, &domain).await?;
    refuse_certificate(body.sni_endpoint.as_ref())?;
    Ok(ok(view(domain)))
}

fn refuse_certificate(sni_endpoint: Option<&Identity>) -> Result<(), Problem> {
    match sni_endpoint {
        None => Ok(()),
        Some(_) => Err(Problem::new(ErrorId::NotFound, "Certificates are not built on this server yet.")),
    }
}

async fn remove(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), domain)): Segments<(AppPath, String)>,
) -> Reply<wire::Domain> {
    Ok(ok(view(api.control.routing.remove_domain(&actor, &app, &domain).await?)))
}

fn view(domain: Domain) -> wire::Domain {
    wire::Domain {
        acm_status: None,
        acm_status_reason: None,
        app: wire::NamedRef { id: domain.app_id.to_string(), name: domain.app_name.to_string() },
        cname: domain.cname,
        created_at: time(domain.created_at),
        hostname: domain.hostname,
        id: domain.id.to_string(),
        kind: domain.kind.to_owned(),
        updated_at: time(domain.updated_at),
        status: domain.status,
        sni_endpoint: None,
    }
}
