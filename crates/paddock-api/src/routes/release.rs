//! `/apps/{app}/releases`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::release::{Release, ReleaseOrder};
use paddock_wire as wire;
use paddock_wire::named::Identity;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, get, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::authentication::By;
use crate::body::Json;
use crate::client::Origin;

const SORTED_BY: [Attribute<wire::Release>; 2] = [
    Attribute { name: "id", key: |release| Key::Text(release.id.clone()) },
    Attribute { name: "version", key: |release| Key::Number(release.version) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/releases", list),
        post_once(Access::Token, "/apps/{app}/releases", create),
        get(Access::Token, "/apps/{app}/releases/{release}", info),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Release>> {
    let releases = api.control.deploy.list_releases(&actor, &app).await?;
    page(releases.into_iter().map(|release| view(release, &origin)).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), release)): Segments<(AppPath, String)>,
) -> Reply<wire::Release> {
    Ok(ok(view(api.control.deploy.release(&actor, &app, &release).await?, &origin)))
}

async fn create(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<wire::release::Create>,
) -> Reply<wire::Release> {
    let text = |identity: Identity| identity.as_str().to_owned();
    let order = ReleaseOrder {
        rollback_to: body.release.map(text),
        slug: body.slug.map(text),
        description: body.description,
    };
    Ok(created(view(api.control.deploy.create_release(&actor, &app, order).await?, &origin)))
}

fn view(release: Release, origin: &Origin) -> wire::Release {
    let slug = release.slug_id.map(|id| wire::IdOnly { id: id.to_string() });
    let artifact = |slug: &wire::IdOnly| wire::release::Artifact {
        artifact_type: "slug".to_owned(),
        id: slug.id.clone(),
    };
    wire::Release {
        addon_plan_names: Vec::new(),
        artifacts: slug.iter().map(artifact).collect(),
        app: wire::NamedRef { id: release.app_id.to_string(), name: release.app_name.to_string() },
        created_at: time(release.created_at),
        description: release.description,
        id: release.id.to_string(),
        updated_at: time(release.updated_at),
        oci_image: None,
        slug,
        status: release.status.as_str().to_owned(),
        user: wire::UserRef { email: release.user_email, id: release.user_id.to_string() },
        version: release.version,
        current: release.current,
        output_stream_url: release
            .output_secret
            .map(|secret| origin.url(&format!("/streams/releases/{secret}"))),
        eligible_for_rollback: release.eligible_for_rollback,
    }
}
