//! Pages of other origins may use the API: their scripts must send a token, which no browser adds by itself.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// What a script may send beyond what every form can.
const REQUEST_HEADERS: &str = "Accept, Accept-Expansion, Accept-Inclusion, Authorization, Content-Type, \
    If-Match, If-None-Match, Range, Request-Id, X-Http-Method-Override";
/// What a script may read of an answer.
const ANSWER_HEADERS: &str = "Accept-Ranges, Content-Range, ETag, Idempotent-Replayed, Last-Modified, Next-Range, \
    RateLimit-Remaining, Request-Id, Retry-After";

/// Answers a browser's question ahead of a call, which carries no token, and marks every answer.
pub(crate) async fn share(request: Request, next: Next) -> Response {
    let asks_ahead =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks_ahead {
        let mut response = StatusCode::NO_CONTENT.into_response();
        allow(response.headers_mut());
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    // Never with credentials of the browser's own, so that `*` gives away nothing.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
    response
}

fn allow(headers: &mut HeaderMap) {
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}
