//! `/apps/{app}/log-sessions`, and the stream of lines that a session's secret opens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use paddock_control::log_session::{LogReader, LogSessionOrder};
use paddock_wire as wire;

use super::time::time;
use super::{Access, Endpoint, Segments, get, post};
use crate::Api;
use crate::answer::{Reply, created};
use crate::authentication::By;
use crate::body::OptionalJson;
use crate::client::Origin;
use crate::problem::Problem;

/// How often an idle stream says that it lives: below every idle limit on the way.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![post(Access::Token, "/apps/{app}/log-sessions", create)]
}

/// The address that a session is made of.
pub(super) fn streams() -> Vec<Endpoint> {
    vec![get(Access::Secret, "/streams/logs/{secret}", read)]
}

async fn create(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(app): Segments<String>,
    OptionalJson(body): OptionalJson<wire::log_session::Create>,
) -> Reply<wire::LogSession> {
    let order = LogSessionOrder {
        dyno: body.dyno,
        process_type: body.process_type,
        source: body.source,
        lines: body.lines,
        tail: body.tail.unwrap_or(false),
    };
    let session = api.control.create_log_session(&actor, &app, order).await?;
    Ok(created(wire::LogSession {
        created_at: time(session.created_at),
        id: session.id.to_string(),
        logplex_url: origin.url(&format!("/streams/logs/{}", session.secret)),
        updated_at: time(session.created_at),
    }))
}

/// Server-sent events: the backlog, then, when tailing, new lines until the client goes. `Last-Event-ID` goes on
/// after the line with that number.
async fn read(
    State(api): State<Arc<Api>>,
    Segments(secret): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let reader = api.control.read_log_session(&secret, last).await?;
    let events = stream::unfold((reader, api.stopping.clone()), |(mut reader, stopping)| async {
        let event = tokio::select! {
            // Clients that tail come back by themselves, with the number of their last line.
            () = stopping.cancelled() => None,
            event = next_event(&mut reader) => event,
        };
        event.map(|event| (Ok::<_, Infallible>(event), (reader, stopping)))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

async fn next_event(reader: &mut LogReader) -> Option<Bytes> {
    match tokio::time::timeout(KEEP_ALIVE, reader.next_event()).await {
        Ok(event) => event,
        // A comment: clients skip it, proxies see traffic, a dead connection shows.
        Err(_) => Some(Bytes::from_static(b":\n\n")),
    }
}
