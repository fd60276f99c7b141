//! What requests pass before and after their handler. The order is in [`crate::routes::router`].

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER, VARY};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use paddock_core::ErrorId;
use paddock_core::error::chain;
use paddock_wire::accept;
use tracing::Instrument;
use uuid::Uuid;

use crate::Api;
use crate::authentication::{Credentials, credentials};
use crate::client::Client;
use crate::problem::{Cause, Problem};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
/// The client resets its own list at 7 kB; beyond this it is not sent back.
const REQUEST_IDS_BYTES_MAX: usize = 8 * 1024;

/// The id that this server gave the request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| Self(String::new())))
    }
}

/// Gives the request an id, sends it back after those the client sent, and writes the request's one record.
pub(crate) async fn record(mut request: Request, next: Next) -> Response {
    let (id, started) = (Uuid::now_v7(), Instant::now());
    let (method, sent) = (request.method().clone(), request.headers().get(REQUEST_ID).cloned());
    // The pattern, never the path: paths of streams and sources are secrets.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    request.extensions_mut().insert(RequestId(id.to_string()));
    let span = tracing::info_span!("request", request.id = %id);
    let mut response = next.run(request).instrument(span).await;

    let ids = match sent.as_ref().map(HeaderValue::to_str) {
        Some(Ok(sent)) if sent.len() <= REQUEST_IDS_BYTES_MAX => format!("{sent},{id}"),
        _ => id.to_string(),
    };
    if let Ok(ids) = HeaderValue::try_from(ids) {
        response.headers_mut().insert(REQUEST_ID, ids);
    }
    let (route, status) = (route.as_deref().unwrap_or("-"), response.status().as_u16());
    if let Some(Cause(cause)) = response.extensions_mut().remove() {
        // The user has the error's own text; the operator needs what lies below it.
        let error = std::error::Error::source(&*cause).map(chain);
        tracing::error!(request.id = %id, %method, route, status, error, "request {id} failed");
    }
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(request.id = %id, %method, route, status, duration_ms, "{method} {route} {status}");
    response
}

/// Turns a panic into 500: the connection and its other requests live on.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            tracing::error!(panic = text, "a handler panicked");
            Problem::new(ErrorId::InternalServerError, "Internal server error.").into_response()
        }
    }
}

/// Refuses what does not ask for version 3 of the API.
pub(crate) async fn accept_version(request: Request, next: Next) -> Response {
    // Several headers are one list; what cannot be read names nothing.
    let headers: Vec<_> =
        request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let header = (!headers.is_empty()).then(|| headers.join(","));
    match accept::parse(header.as_deref()) {
        Ok(_) => next.run(request).await,
        Err(refusal) => Problem::from(refusal).into_response(),
    }
}

/// Finds out who asks and counts the request. A password makes an authorization and nothing else.
pub(crate) async fn authenticate(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let client = request.extensions().get::<Client>().and_then(Client::ip);
    let login = request.method() == Method::POST && request.uri().path() == "/oauth/authorizations";
    let authenticated = match credentials(request.headers()) {
        Some(Credentials::Basic { user, password }) if login && user.contains('@') => {
            api.control.people.authenticate_password(&user, &password, client).await
        }
        Some(credentials) => api.control.people.authenticate_token(credentials.token()).await,
        None => return Problem::unauthorized().into_response(),
    };
    let actor = match authenticated {
        Ok(actor) => actor,
        Err(error) => return Problem::from(error).into_response(),
    };
    // Asking what is left costs nothing.
    let is_free = request.uri().path() == "/account/rate-limits";
    let counted = match is_free {
        true => api.control.kernel.requests_left(&actor).await.map(Some),
        false => api.control.kernel.count_request(&actor).await,
    };
    let left = match counted {
        Ok(left) => left,
        Err(error) => return Problem::from(error).into_response(),
    };
    request.extensions_mut().insert(actor);
    let mut response = match left {
        Some(_) => next.run(request).await,
        None => out_of_requests(),
    };
    response.headers_mut().insert(RATE_LIMIT_REMAINING, HeaderValue::from(left.unwrap_or(0)));
    response.headers_mut().insert(VARY, HeaderValue::from_name(AUTHORIZATION));
    response
}

fn out_of_requests() -> Response {
    let text = "Your account reached the API rate limit: 4500 requests an hour. Please wait a minute.";
    let mut response = Problem::new(ErrorId::RateLimit, text).into_response();
    // One request comes back each 800 ms; who waits a minute can do something with it.
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    response
}
