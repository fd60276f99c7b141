//! Output of builds and release phases: plain text until the end. The path is the secret.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use paddock_control::output::OutputReader;

use super::{Access, Endpoint, Segments, get};
use crate::Api;
use crate::problem::Problem;

/// How often an idle stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Secret, "/streams/builds/{secret}", build),
        get(Access::Secret, "/streams/releases/{secret}", release),
    ]
}

async fn build(State(api): State<Arc<Api>>, Segments(secret): Segments<String>) -> Result<Response, Problem> {
    Ok(stream_of(&api, api.control.deploy.read_build_output(&secret).await?))
}

async fn release(
    State(api): State<Arc<Api>>,
    Segments(secret): Segments<String>,
) -> Result<Response, Problem> {
    Ok(stream_of(&api, api.control.deploy.read_release_output(&secret).await?))
}

fn stream_of(api: &Api, reader: OutputReader) -> Response {
    let chunks = stream::unfold((reader, api.stopping.clone()), |(mut reader, stopping)| async {
        let chunk = tokio::select! {
            // Broken off, not ended: what was read must not be taken for the whole.
            () = stopping.cancelled() => Some(Err(io::Error::other("the server is ending"))),
            chunk = next_chunk(&mut reader) => chunk.map(Ok),
        };
        chunk.map(|chunk| (chunk, (reader, stopping)))
    });
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(chunks)).into_response()
}

async fn next_chunk(reader: &mut OutputReader) -> Option<Bytes> {
    match tokio::time::timeout(KEEP_ALIVE, reader.next_chunk()).await {
        Ok(chunk) => chunk,
        // One NUL byte is the platform's keep-alive (`docs/contract/platform-behaviour.md`, section 8).
        Err(_) => Some(Bytes::from_static(b"\0")),
    }
}
