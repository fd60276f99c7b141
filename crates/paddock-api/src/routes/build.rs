//! `/apps/{app}/builds` and the build cache.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::build::{Build, BuildBuildpack, BuildOrder};
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, delete, get, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, accepted, created, ok, page};
use crate::authentication::By;
use crate::body::Json;
use crate::client::Origin;

const SORTED_BY: [Attribute<wire::Build>; 2] = [
    Attribute { name: "id", key: |build| Key::Text(build.id.clone()) },
    Attribute { name: "started_at", key: |build| Key::Text(build.created_at.to_string()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/builds", list),
        post_once(Access::Token, "/apps/{app}/builds", create),
        get(Access::Token, "/apps/{app}/builds/{build}", info),
        delete(Access::Token, "/apps/{app}/builds/{build}", cancel),
        delete(Access::Token, "/apps/{app}/build-cache", purge_cache),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Build>> {
    let builds = api.control.deploy.list_builds(&actor, &app).await?;
    page(builds.into_iter().map(|build| view(build, &origin)).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), build)): Segments<(AppPath, String)>,
) -> Reply<wire::Build> {
    Ok(ok(view(api.control.deploy.build(&actor, &app, &build).await?, &origin)))
}

async fn create(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<wire::build::Create>,
) -> Reply<wire::Build> {
    let blob = body.source_blob;
    let order = BuildOrder {
        url: blob.url,
        checksum: blob.checksum,
        version: blob.version,
        version_description: blob.version_description,
        buildpacks: body
            .buildpacks
            .map(|list| list.into_iter().filter_map(|one| one.url.or(one.name)).collect()),
    };
    Ok(created(view(api.control.deploy.create_build(&actor, &app, order).await?, &origin)))
}

async fn cancel(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), build)): Segments<(AppPath, String)>,
) -> Reply<wire::Build> {
    Ok(ok(view(api.control.deploy.cancel_build(&actor, &app, &build).await?, &origin)))
}

async fn purge_cache(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<wire::Empty> {
    api.control.deploy.purge_build_cache(&actor, &app).await?;
    Ok(accepted())
}

fn view(build: Build, origin: &Origin) -> wire::Build {
    let buildpack = |BuildBuildpack { url, name }| wire::build::RunBuildpack { url, name };
    wire::Build {
        app: wire::IdOnly { id: build.app_id.to_string() },
        buildpacks: build.buildpacks.map(|list| list.into_iter().map(buildpack).collect()),
        created_at: time(build.created_at),
        id: build.id.to_string(),
        labs: wire::Empty {},
        output_stream_url: origin.url(&format!("/streams/builds/{}", build.output_secret)),
        release: build.release_id.map(|id| wire::IdOnly { id: id.to_string() }),
        slug: build.slug_id.map(|id| wire::IdOnly { id: id.to_string() }),
        source_blob: wire::build::SourceBlob {
            checksum: build.source_checksum,
            url: build.source_url,
            version: build.source_version,
            version_description: build.source_description,
        },
        stack: build.stack.as_str().to_owned(),
        status: build.status.as_str().to_owned(),
        updated_at: time(build.updated_at),
        user: wire::UserRef { email: build.user_email, id: build.user_id.to_string() },
    }
}
