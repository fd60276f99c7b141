//! `/apps/{app}/slugs`, and the address that the archive of a slug is put to.

use std::sync::Arc;

use axum::extract::{Request, State};
use futures_util::TryStreamExt;
use http::StatusCode;
use paddock_control::slug::{Slug, SlugOrder};
use paddock_wire as wire;
use paddock_wire::slug::Blob;

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, get, post_once, put, stack};
use crate::Api;
use crate::answer::{Reply, created, ok};
use crate::authentication::By;
use crate::body::Json;
use crate::client::Origin;
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post_once(Access::Token, "/apps/{app}/slugs", create),
        get(Access::Token, "/apps/{app}/slugs/{slug}", info),
    ]
}

/// The address that a slug's archive is put to.
pub(super) fn uploads() -> Vec<Endpoint> {
    vec![put(Access::Secret, "/slugs/{secret}", upload)]
}

async fn create(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<wire::slug::Create>,
) -> Reply<wire::Slug> {
    let order = SlugOrder {
        process_types: body.process_types,
        checksum: body.checksum,
        commit: body.commit,
        commit_description: body.commit_description,
        buildpack_description: body.buildpack_provided_description,
        stack: body.stack.map(|stack| stack.as_str().to_owned()),
    };
    let (slug, put_secret) = api.control.deploy.create_slug(&actor, &app, order).await?;
    let blob = Blob { method: "put".to_owned(), url: origin.url(&format!("/slugs/{put_secret}")) };
    Ok(created(wire::Slug { blob, ..view(slug, &origin) }))
}

/// Answered when the slug can be released.
async fn upload(
    State(api): State<Arc<Api>>,
    Segments(secret): Segments<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let body = request.into_body().into_data_stream().map_err(std::io::Error::other);
    api.control.deploy.upload_slug(&secret, Box::pin(body)).await?;
    Ok(StatusCode::OK)
}

async fn info(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), slug)): Segments<(AppPath, String)>,
) -> Reply<wire::Slug> {
    Ok(ok(view(api.control.deploy.slug(&actor, &app, &slug).await?, &origin)))
}

/// The archive of a slug cannot be fetched yet: its address answers that in a sentence.
fn view(slug: Slug, origin: &Origin) -> wire::Slug {
    let url = origin.url(&format!("/apps/{}/slugs/{}/blob", slug.app_id, slug.id));
    wire::Slug {
        blob: Blob { method: "get".to_owned(), url },
        buildpack_provided_description: slug.buildpack_description,
        checksum: slug.checksum,
        commit: slug.commit,
        commit_description: slug.commit_description,
        created_at: time(slug.created_at),
        id: slug.id.to_string(),
        process_types: slug
            .process_types
            .into_iter()
            .map(|(name, command)| (name.to_string(), command))
            .collect(),
        size: slug.size_bytes,
        stack: stack::reference(&slug.stack),
        updated_at: time(slug.created_at),
        deleted_at: None,
    }
}
