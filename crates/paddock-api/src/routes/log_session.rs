//! `/apps/{app}/log-sessions`, and the stream of lines that a session's secret opens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use paddock_control::log_session::{LogReader, LogSessionOrder};
use paddock_wire as wire;

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, get, post};
use crate::Api;
use crate::answer::{Reply, created};
use crate::authentication::By;
use crate::body::OptionalJson;
use crate::client::Origin;
use crate::problem::Problem;

/// How often an idle stream says that it lives: below every idle limit on the way.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Milliseconds until a client of events comes back to a stream that has ended. Its own default is seconds.
const COME_BACK_AT_ONCE: &[u8] = b"retry: 10\n\n";

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
    Segments(AppPath(app)): Segments<AppPath>,
    OptionalJson(body): OptionalJson<wire::log_session::Create>,
) -> Reply<wire::LogSession> {
    let order = LogSessionOrder {
        dyno: body.dyno,
        process_type: body.process_type,
        source: body.source,
        lines: body.lines,
        tail: body.tail.unwrap_or(false),
    };
    let session = api.control.logs.create_log_session(&actor, &app, order).await?;
    Ok(created(wire::LogSession {
        created_at: time(session.created_at),
        id: session.id.to_string(),
        logplex_url: origin.url(&format!("/streams/logs/{}", session.secret)),
        updated_at: time(session.created_at),
    }))
}

/// The backlog, then, when tailing, new lines until the client goes: as server-sent events for who asks for them, else
/// as plain lines. `Last-Event-ID` goes on after the line with that number.
async fn read(
    State(api): State<Arc<Api>>,
    Segments(secret): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let reader = api.control.logs.read_log_session(&secret, last).await?;
    let form = if wants_events(&headers) { Form::Events } else { Form::Plain };
    // Everything there was has been said before: 204 tells a client of events not to come back.
    if last.is_some() && !reader.is_tail() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // A client of events comes back when the stream has ended, and says only then that it has: at once, where there is
    // nothing to wait for.
    let first = (form == Form::Events && !reader.is_tail()).then_some(COME_BACK_AT_ONCE);
    let first = stream::iter(first.map(|first| Ok(Bytes::from_static(first))));
    let lines = stream::unfold((reader, api.stopping.clone()), move |(mut reader, stopping)| async move {
        let line = tokio::select! {
            // Clients that tail come back by themselves, with the number of their last line.
            () = stopping.cancelled() => None,
            line = next(&mut reader, form) => line,
        };
        line.map(|line| (Ok::<_, Infallible>(line), (reader, stopping)))
    });
    let content_type = match form {
        Form::Events => "text/event-stream; charset=utf-8",
        Form::Plain => "text/plain; charset=utf-8",
    };
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(first.chain(lines))).into_response())
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Events,
    Plain,
}

fn wants_events(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types = named.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    types.map(str::trim).any(|name| name.eq_ignore_ascii_case("text/event-stream"))
}

async fn next(reader: &mut LogReader, form: Form) -> Option<Bytes> {
    match form {
        Form::Events => next_event(reader).await,
        // Nothing could be said to an idle client that is not a line of the log.
        Form::Plain => reader.next_line().await,
    }
}

async fn next_event(reader: &mut LogReader) -> Option<Bytes> {
    match tokio::time::timeout(KEEP_ALIVE, reader.next_event()).await {
        Ok(event) => event,
        // A comment: clients skip it, proxies see traffic, a dead connection shows.
        Err(_) => Some(Bytes::from_static(b":\n\n")),
    }
}
