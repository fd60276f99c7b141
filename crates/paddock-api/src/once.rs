//! What makes something is made once: a repetition under the same request id is answered with what came of the first
//! (see `paddock_control::request_outcome` for the rule).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use paddock_control::Actor;
use paddock_control::request_outcome::{RequestKey, Turn};
use paddock_core::ErrorId;
use tracing::Instrument;

use crate::problem::Problem;
use crate::{Api, body, layers};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// A longer id is ignored.
const ID_BYTES_MAX: usize = 200;

/// Around a handler that makes something. Without a request id there is nothing to know a repetition by.
pub(crate) async fn answer(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let id = first_id(request.headers()).map(str::to_owned);
    let Some((id, actor)) = id.zip(request.extensions().get::<Actor>().cloned()) else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    let bytes = match body::read(Request::new(body)).await {
        Ok(bytes) => bytes,
        Err(problem) => return problem.into_response(),
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let key = RequestKey::new(&actor, &id, parts.method.as_str(), path, &bytes);
    match api.control.kernel.begin_request(&actor, &key).await {
        Ok(Turn::Done { status, body }) => replayed(status, body),
        Ok(Turn::First) => {
            let request = Request::from_parts(parts, Body::from(bytes));
            // A task of its own: what was begun comes to its end, and is written down, also when the client is gone.
            #[expect(
                clippy::disallowed_methods,
                reason = "it is waited for, and goes on when the client is gone"
            )]
            let task = tokio::spawn(carry_out(api, key, request, next).in_current_span());
            task.await.unwrap_or_else(|_| internal_error())
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

async fn carry_out(api: Arc<Api>, key: RequestKey, request: Request, next: Next) -> Response {
    let (parts, body) = layers::guard(request, next).await.into_parts();
    // Handlers' JSON is whole in memory; collecting it neither waits nor fails.
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    api.control.kernel.end_request(&key, parts.status.as_u16(), &bytes).await;
    Response::from_parts(parts, Body::from(bytes))
}

fn replayed(status: u16, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn internal_error() -> Response {
    Problem::new(ErrorId::InternalServerError, "Internal server error.").into_response()
}

/// The first id of the list: the one of this call. Those after it are of earlier ones.
fn first_id(headers: &HeaderMap) -> Option<&str> {
    let list = headers.get(layers::REQUEST_ID)?.to_str().ok()?;
    let first = list.split(',').next()?.trim();
    (!first.is_empty() && first.len() <= ID_BYTES_MAX).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_is_the_calls_own() {
        let read = |list: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(layers::REQUEST_ID, list.parse().unwrap());
            first_id(&headers).map(str::to_owned)
        };
        assert_eq!(read("new,older,oldest").as_deref(), Some("new"));
        assert_eq!(read(" new ").as_deref(), Some("new"));
        assert_eq!((read(""), read(",older"), read(&"x".repeat(201))), (None, None, None));
    }
}
