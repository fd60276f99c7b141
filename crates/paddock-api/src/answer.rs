//! Successful answers: a status and JSON, a page of a list.

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, LAST_MODIFIED};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use paddock_wire as wire;
use paddock_wire::Dated;
use paddock_wire::range::{self, Attribute, InvalidRange, Page, Range};
use serde::Serialize;

use crate::json::json;
use crate::problem::Problem;

pub(crate) type Reply<T> = Result<Answer<T>, Problem>;

const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");

/// A success: a status, a body, and headers of a list.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    status: StatusCode,
    headers: HeaderMap,
    body: T,
}

/// 200 with a body.
pub(crate) fn ok<T>(body: T) -> Answer<T> {
    Answer { status: StatusCode::OK, headers: HeaderMap::new(), body }
}

/// 201 with what was made.
pub(crate) fn created<T>(body: T) -> Answer<T> {
    Answer { status: StatusCode::CREATED, headers: HeaderMap::new(), body }
}

/// 202 with an empty object: begun, not finished.
pub(crate) fn accepted() -> Answer<wire::Empty> {
    Answer { status: StatusCode::ACCEPTED, headers: HeaderMap::new(), body: wire::Empty {} }
}

/// 200 or 206 with the page that the request's Range header asks for.
pub(crate) fn page<T>(items: Vec<T>, range: &Range, attributes: &[Attribute<T>]) -> Reply<Vec<T>> {
    let Page { items, accept_ranges, content_range, next_range } = range::paginate(items, range, attributes)?;
    let mut answer = ok(items);
    let mut add = |name, value: Option<String>| {
        // Header values are attribute names and keys: ids, numbers and names. What is none of them is left out.
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            answer.headers.insert(name, value);
        }
    };
    if next_range.is_some() {
        answer.status = StatusCode::PARTIAL_CONTENT;
    }
    add(ACCEPT_RANGES, Some(accept_ranges));
    add(CONTENT_RANGE, content_range);
    add(NEXT_RANGE, next_range);
    Ok(answer)
}

/// The request's Range header, read.
#[derive(Debug)]
pub(crate) struct Asked(pub(crate) Range);

impl<S: Sync> axum::extract::FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let header = parts.headers.get(http::header::RANGE).map(HeaderValue::to_str).transpose();
        Ok(Self(range::parse(header.map_err(|_| InvalidRange::Grammar)?)?))
    }
}

impl<T: Serialize + Dated> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &self.body);
        response.headers_mut().extend(self.headers);
        let changed_at = self.body.changed_at().and_then(|at| HeaderValue::try_from(at.http_date()).ok());
        if let Some(changed_at) = changed_at {
            response.headers_mut().insert(LAST_MODIFIED, changed_at);
        }
        response
    }
}
