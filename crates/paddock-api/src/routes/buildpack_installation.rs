//! `/apps/{app}/buildpack-installations`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::buildpack_installation::{BuildpackInstallation, Builtin};
use paddock_core::ErrorId;
use paddock_wire as wire;
use paddock_wire::buildpack_installation::Replace;
use paddock_wire::range::{Attribute, Key};

use super::{Access, AppPath, Endpoint, Segments, get, put};
use crate::Api;
use crate::answer::{Asked, Reply, ok, page};
use crate::authentication::By;
use crate::body::Json;
use crate::problem::Problem;

/// The order is the content.
const SORTED_BY: [Attribute<wire::BuildpackInstallation>; 1] =
    [Attribute { name: "ordinal", key: |installation| Key::Number(installation.ordinal) }];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/buildpack-installations", list),
        put(Access::Token, "/apps/{app}/buildpack-installations", replace),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::BuildpackInstallation>> {
    let list = api.control.apps.list_buildpack_installations(&actor, &app).await?;
    page(list.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn replace(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<Replace>,
) -> Reply<Vec<wire::BuildpackInstallation>> {
    let named = body.updates.into_iter().map(|update| update.buildpack.ok_or_else(unknown_buildpack));
    let buildpacks = named.collect::<Result<_, _>>()?;
    let list = api.control.apps.replace_buildpack_installations(&actor, &app, buildpacks).await?;
    Ok(ok(list.into_iter().map(view).collect()))
}

fn unknown_buildpack() -> Problem {
    let text = format!("There is no buildpack of that name on this server: {}.", known());
    Problem::new(ErrorId::InvalidParams, text)
}

/// Which buildpacks can be named, for whoever named another.
pub(super) fn known() -> String {
    let names: Vec<_> = Builtin::all().map(|builtin| builtin.name).collect();
    format!("there are {}; any other is set by the https address of its git repository", names.join(", "))
}

fn view(installation: BuildpackInstallation) -> wire::BuildpackInstallation {
    wire::BuildpackInstallation {
        ordinal: installation.ordinal,
        buildpack: wire::buildpack_installation::Buildpack { url: installation.url, name: installation.name },
    }
}
