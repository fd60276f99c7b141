//! Numbers for the operator's monitoring. No API call: what reads it asks for a text format, not for a version.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::{Access, Endpoint, get};
use crate::Api;
use crate::authentication::credentials;
use crate::problem::Problem;

/// The text exposition format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get(Access::Challenge, "/paddock/metrics", metrics)]
}

async fn metrics(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let credentials = credentials(&headers).ok_or_else(Problem::unauthorized)?;
    let actor = api.control.people.authenticate_token(credentials.token()).await?;
    let text = api.control.platform.metrics_for(&actor).await?;
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}
