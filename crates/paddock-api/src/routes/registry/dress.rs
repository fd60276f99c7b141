//! What every answer below `/v2` has: the protocol's version, and a challenge where nobody knows who asks.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use paddock_core::registry::RegistryCode;

use super::caller::RegistryBy;
use super::problem::RegistryProblem;
use crate::Api;
use crate::client::Origin;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"Paddock\"");

pub(crate) async fn dress(
    State(api): State<Arc<Api>>,
    origin: Origin,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if path != "/v2" && !path.starts_with("/v2/") {
        return next.run(request).await;
    }
    let challenge = challenge(&origin, request.method(), path, request.headers());
    let mut response = match request.extensions().get::<MatchedPath>() {
        Some(_) => next.run(request).await,
        None => unknown(&api, request).await.into_response(),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && !response.headers().contains_key(CONTENT_TYPE) {
        let text = "The registry does not do this with that.";
        response = RegistryProblem::new(RegistryCode::Unsupported, text).into_response();
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

/// What no route is for.
async fn unknown(api: &Arc<Api>, request: Request) -> RegistryProblem {
    let (mut parts, _) = request.into_parts();
    match RegistryBy::from_request_parts(&mut parts, api).await {
        Ok(_) => RegistryProblem::new(
            RegistryCode::NameInvalid,
            "There is nothing of that name: repositories of this registry are APP/TYPE, such as my-app/web.",
        ),
        Err(refusal) => refusal,
    }
}

/// A token as password, which all clients can do. Who comes with a token of the registry's is told where to get another: that
/// one has ended, or is not good for this.
fn challenge(origin: &Origin, method: &Method, path: &str, headers: &HeaderMap) -> HeaderValue {
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_bearer = sent.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    if !is_bearer || path == super::token::PATH {
        return BASIC;
    }
    let realm = origin.url(super::token::PATH);
    // A proxy in front may end TLS. Its word is believed of nobody but the client that came by it.
    let by_tls = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let realm = match realm.strip_prefix("http://") {
        Some(rest) if by_tls => format!("https://{rest}"),
        _ => realm,
    };
    let mut text = format!("Bearer realm=\"{realm}\",service=\"paddock\"");
    let mut segments = path.trim_start_matches("/v2/").split('/');
    if let (Some(app), Some(repository), Some(_)) = (segments.next(), segments.next(), segments.next()) {
        let actions = match *method {
            Method::GET | Method::HEAD => "pull",
            Method::DELETE => "delete",
            _ => "pull,push",
        };
        text.push_str(&format!(",scope=\"repository:{app}/{repository}:{actions}\""));
    }
    HeaderValue::try_from(text).unwrap_or(BASIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_token_of_the_registrys_is_told_where_there_are_others() {
        let origin = Origin::for_tests("registry.example:5000");
        let said = |method: Method, path: &str, headers: &[(&'static str, &str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            challenge(&origin, &method, path, &headers).to_str().unwrap().to_owned()
        };
        assert_eq!(said(Method::GET, "/v2/", &[]), "Basic realm=\"Paddock\"");
        assert_eq!(said(Method::GET, "/v2/", &[("authorization", "Basic eDp5")]), "Basic realm=\"Paddock\"");
        let bearer = ("authorization", "Bearer x");
        assert_eq!(
            said(Method::GET, "/v2/", &[bearer]),
            "Bearer realm=\"http://registry.example:5000/v2/token\",service=\"paddock\""
        );
        assert_eq!(
            said(Method::POST, "/v2/a/web/blobs/uploads/", &[bearer, ("x-forwarded-proto", "https")]),
            "Bearer realm=\"https://registry.example:5000/v2/token\",service=\"paddock\",\
             scope=\"repository:a/web:pull,push\""
        );
    }
}
