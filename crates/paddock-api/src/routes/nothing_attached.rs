//! Lists of things that nobody can have yet: pipelines, teams, webhooks, invoices. They are truly empty, and
//! clients that look at all there is fail without them. Making one of these answers that it is not built.

use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::{Access, Endpoint, get, region};
use crate::Api;
use crate::answer::{Asked, Reply, page};
use crate::authentication::By;

/// Their paths.
pub const EMPTY_LISTS: [&str; 23] = [
    "/account/app-transfers",
    "/account/credits",
    "/account/invoices",
    "/account/payment-method/apps",
    "/addon-region-capabilities",
    "/apps/{app}/log-drains",
    "/apps/{app}/sni-endpoints",
    "/apps/{app}/telemetry-drains",
    "/apps/{app}/webhook-deliveries",
    "/apps/{app}/webhook-events",
    "/apps/{app}/webhooks",
    "/data/maintenances/v1/apps/{app}",
    "/enterprise-accounts",
    "/oauth/clients",
    "/oauth/sessions",
    "/pipeline-couplings",
    "/pipelines",
    "/regions/{region}/addon-region-capabilities",
    "/spaces",
    "/teams",
    "/telemetry-drains",
    "/users/{user}/invoices",
    "/users/{user}/pipeline-couplings",
];

/// What clients ask to have lists of these things sorted by.
const SORTED_BY: [Attribute<wire::IdOnly>; 3] = [
    Attribute { name: "id", key: |thing| Key::Text(thing.id.clone()) },
    Attribute { name: "name", key: |thing| Key::Text(thing.id.clone()) },
    Attribute { name: "seq", key: |thing| Key::Text(thing.id.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    EMPTY_LISTS.map(|path| get(Access::Token, path, nothing)).into()
}

/// Of an app, account or region that the actor may not see there is no list, not even an empty one.
async fn nothing(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    segments: RawPathParams,
) -> Reply<Vec<wire::IdOnly>> {
    for (name, value) in &segments {
        match name {
            "app" => drop(api.control.apps.app(&actor, &value.to_owned().into()).await?),
            "user" => drop(api.control.people.account(&actor, value).await?),
            _ => region::named(value)?,
        }
    }
    page(Vec::new(), &range, &SORTED_BY)
}
