//! `/v2/token`: tokens of the registry's own, for clients that speak the token authentication of Docker's registries.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::json;

use super::RegistryReply;
use super::caller::RegistryBy;
use super::problem::RegistryProblem;
use crate::Api;
use crate::json::json as body;
use crate::routes::time::time;

pub(super) const PATH: &str = "/v2/token";

pub(super) async fn make(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    // Several scopes are several parameters of one name.
    Query(parameters): Query<Vec<(String, String)>>,
) -> RegistryReply {
    if caller.has_grants() {
        return Err(RegistryProblem::unauthorized());
    }
    let scopes = parameters.into_iter().filter(|(name, _)| name == "scope");
    let scopes: Vec<_> = scopes.map(|(_, scope)| scope).collect();
    let made = api.control.images.make_token(caller.actor(), &scopes).await?;
    let answer = json!({
        "token": made.token,
        "access_token": made.token,
        "expires_in": made.expires_in.as_secs(),
        "issued_at": time(made.issued_at),
    });
    Ok(([(CACHE_CONTROL, "no-store")], body(StatusCode::OK, &answer)).into_response())
}
