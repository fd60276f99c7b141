//! `/sources`: addresses to put an archive at, and the archive itself, streamed to disk.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use paddock_wire as wire;
use tokio_util::io::ReaderStream;

use super::{Access, AppPath, Endpoint, Segments, get, post_once, put};
use crate::Api;
use crate::answer::{Reply, created};
use crate::authentication::By;
use crate::client::Origin;
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post_once(Access::Token, "/sources", create),
        post_once(Access::Token, "/apps/{app}/sources", create_for_app),
    ]
}

/// The addresses that a source is made of.
pub(super) fn uploads() -> Vec<Endpoint> {
    vec![put(Access::Secret, "/sources/{secret}", upload), get(Access::Secret, "/sources/{secret}", download)]
}

async fn create(By(actor): By, origin: Origin, State(api): State<Arc<Api>>) -> Reply<wire::Source> {
    let source = api.control.deploy.create_source(&actor).await?;
    let url = |secret: &str| origin.url(&format!("/sources/{secret}"));
    let (get_url, put_url) = (url(&source.get_secret), url(&source.put_secret));
    Ok(created(wire::Source { source_blob: wire::source::SourceBlob { get_url, put_url } }))
}

async fn create_for_app(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<wire::Source> {
    api.control.apps.app(&actor, &app).await?;
    create(By(actor), origin, State(api)).await
}

async fn upload(
    State(api): State<Arc<Api>>,
    Segments(secret): Segments<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let body = request.into_body().into_data_stream().map_err(std::io::Error::other);
    api.control.deploy.upload_source(&secret, Box::pin(body)).await?;
    Ok(StatusCode::OK)
}

async fn download(
    State(api): State<Arc<Api>>,
    Segments(secret): Segments<String>,
) -> Result<Response, Problem> {
    let (file, size_bytes) = api.control.deploy.open_source(&secret).await?;
    let headers = [(CONTENT_TYPE, "application/gzip".to_owned()), (CONTENT_LENGTH, size_bytes.to_string())];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}
