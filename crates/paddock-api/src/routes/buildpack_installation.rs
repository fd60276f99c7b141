//! `/apps/{app}/buildpack-installations`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::buildpack_installation::BuildpackInstallation;
use paddock_wire as wire;
use paddock_wire::buildpack_installation::Replace;

use super::{Access, Endpoint, Segments, get, put};
use crate::Api;
use crate::answer::{Reply, ok};
use crate::authentication::By;
use crate::body::Json;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/buildpack-installations", list),
        put(Access::Token, "/apps/{app}/buildpack-installations", replace),
    ]
}

/// Not paged: the order is the content, and the client sends an empty Range.
async fn list(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(app): Segments<String>,
) -> Reply<Vec<wire::BuildpackInstallation>> {
    let list = api.control.list_buildpack_installations(&actor, &app).await?;
    Ok(ok(list.into_iter().map(view).collect()))
}

async fn replace(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(app): Segments<String>,
    Json(body): Json<Replace>,
) -> Reply<Vec<wire::BuildpackInstallation>> {
    let buildpacks = body.updates.into_iter().map(|update| update.buildpack).collect();
    let list = api.control.replace_buildpack_installations(&actor, &app, buildpacks).await?;
    Ok(ok(list.into_iter().map(view).collect()))
}

fn view(installation: BuildpackInstallation) -> wire::BuildpackInstallation {
    wire::BuildpackInstallation {
        ordinal: installation.ordinal,
        buildpack: wire::buildpack_installation::Buildpack { url: installation.url, name: installation.name },
    }
}
