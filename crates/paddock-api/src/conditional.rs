//! Entity tags: what they are made of, and the requests that name them.
//!
//! `If-None-Match` spares a client what it has: [`tag`]. `If-Match` lets a change through only while the thing is as
//! the client saw it: [`weigh`] looks at the thing with the client's own eyes, by the `GET` of the same path, and
//! [`tag`] refuses the change if it is another by now.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use paddock_core::ErrorId;
use paddock_core::hex;
use paddock_wire::etag;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};
use tower::ServiceExt;

use crate::client::Client;
use crate::problem::Problem;
use crate::{Api, body};

/// Changes of one thing with a condition come one after the other, so that of two with the same condition one is refused.
/// Changes without one do not wait: who sends them does not mind what they overwrite. An app's changes wait for each other,
/// by whichever name, and for those of few other apps, since one of them may take long; the rest, which do not, are in the
/// first place.
static TURNS: LazyLock<Vec<Mutex<()>>> = LazyLock::new(|| (0..=64).map(|_| Mutex::default()).collect());

/// Why a change is not made, on its way to where answers have their headers.
#[derive(Debug, Clone)]
struct Refusal(Problem);

/// Compares a change's `If-Match` with the thing as it is. The guard is to be held until the change is made.
pub(crate) async fn weigh(
    api: &Api,
    router: &Router,
    request: Request,
) -> (Request, Option<MutexGuard<'static, ()>>) {
    let changes = [Method::PUT, Method::PATCH, Method::DELETE].contains(request.method());
    let conditions: Vec<_> = request.headers().get_all(IF_MATCH).iter().cloned().collect();
    if !changes || conditions.is_empty() {
        return (request, None);
    }
    // The whole body before the turn: a slow client keeps nobody from theirs.
    let (mut parts, body) = request.into_parts();
    let bytes = match body::read(Request::new(body)).await {
        Ok(bytes) => bytes,
        Err(problem) => {
            parts.extensions.insert(Refusal(problem));
            return (Request::from_parts(parts, Body::empty()), None);
        }
    };
    let Some(place) = place_of(api, parts.uri.path()).await else {
        let text = "With If-Match, write the app's name or id as it is, without percent-encoding.";
        parts.extensions.insert(Refusal(Problem::new(ErrorId::BadRequest, text)));
        return (Request::from_parts(parts, Body::empty()), None);
    };
    let turn = TURNS[place].lock().await;
    let current = current_tag(router, &parts).await;
    let names_it = |value: &HeaderValue| {
        value.to_str().ok().zip(current.as_deref()).is_some_and(|(text, tag)| etag::if_match(text, tag))
    };
    if !conditions.iter().any(names_it) {
        let text = "This has changed since you looked, or the tag in If-Match is none of its: look again, then decide.";
        parts.extensions.insert(Refusal(Problem::new(ErrorId::PreconditionFailed, text)));
    }
    (Request::from_parts(parts, Body::from(bytes)), Some(turn))
}

/// Where in [`TURNS`] a path has its turn; `None` for an app that is written so that it has another than by its name.
async fn place_of(api: &Api, path: &str) -> Option<usize> {
    let app = path.strip_prefix("/apps/").and_then(|rest| rest.split('/').next());
    let Some(identity) = app else { return Some(0) };
    if identity.contains('%') {
        return None;
    }
    let Some(app) = api.control.kernel.app_meant(&identity.to_owned().into()).await else { return Some(0) };
    let mut hasher = DefaultHasher::new();
    app.hash(&mut hasher);
    let others = TURNS.len() as u64 - 1;
    usize::try_from(1 + hasher.finish() % others).ok()
}

/// The tag of what a `GET` of the same path answers the same client.
async fn current_tag(router: &Router, parts: &http::request::Parts) -> Option<String> {
    let mut look = Request::new(Body::empty());
    *look.uri_mut() = parts.uri.clone();
    for name in [ACCEPT, AUTHORIZATION, http::header::HOST] {
        copy(&parts.headers, look.headers_mut(), &name);
    }
    if let Some(client) = parts.extensions.get::<Client>() {
        look.extensions_mut().insert(*client);
    }
    let answer = match router.clone().oneshot(look).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned)
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, name: &http::HeaderName) {
    for value in from.get_all(name) {
        to.append(name, value.clone());
    }
}

/// Tags successful JSON bodies with a digest of their bytes, answers 304 to who has that body already, and refuses a
/// change whose condition is not met.
pub(crate) async fn tag(request: Request, next: Next) -> Response {
    if let Some(Refusal(problem)) = request.extensions().get().cloned() {
        return problem.into_response();
    }
    let method = request.method().clone();
    let known: Vec<_> = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect();
    let response = next.run(request).await;
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if !response.status().is_success() || !is_json || method == Method::HEAD {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Handlers' JSON is whole in memory; collecting it neither waits nor fails.
    let Ok(bytes) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Problem::new(ErrorId::InternalServerError, "Internal server error.").into_response();
    };
    let tag = format!("\"{}\"", hex(&Sha256::digest(&bytes)[..16]));
    let names_it = |value: &HeaderValue| value.to_str().is_ok_and(|text| etag::if_none_match(text, &tag));
    let has_it = method == Method::GET && known.iter().any(names_it);
    parts.headers.insert(ETAG, HeaderValue::try_from(tag).expect("hexadecimal digits in quotes"));
    if has_it {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}
