//! What a registry has.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderName, HeaderValue, StatusCode};
use paddock_control::images::Page;
use paddock_core::registry::{MediaType, RegistryCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::RegistryBy;
use super::problem::RegistryProblem;
use super::{In, RegistryReply, digest, place};
use crate::Api;
use crate::json::json as body;

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Which part of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    n: Option<String>,
    last: Option<String>,
}

impl Asked {
    fn max(&self) -> Result<Option<u32>, RegistryProblem> {
        self.n.as_deref().map(str::parse).transpose().map_err(|_| {
            RegistryProblem::new(RegistryCode::PaginationInvalid, "n is how many to name at most.")
        })
    }

    fn last(&self) -> &str {
        self.last.as_deref().unwrap_or_default()
    }
}

pub(super) async fn tags(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, ()): In,
    Query(asked): Query<Asked>,
) -> RegistryReply {
    let page = api.control.images.tags(&caller, &name, asked.max()?, asked.last()).await?;
    let whole = json!({ "name": name.to_string(), "tags": page.names });
    Ok(with_next(&whole, &page, &place(&name, "tags/list")))
}

pub(super) async fn catalog(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    Query(asked): Query<Asked>,
) -> RegistryReply {
    let page = api.control.images.catalog(&caller, asked.max()?, asked.last()).await?;
    Ok(with_next(&json!({ "repositories": page.names }), &page, "/v2/_catalog"))
}

fn with_next(whole: &Value, page: &Page, path: &str) -> Response {
    let mut response = body(StatusCode::OK, whole);
    // Names of repositories and tags have nothing that an address does not.
    let next = page.next.zip(page.names.last());
    let next = next.map(|(n, last)| format!("<{path}?n={n}&last={last}>; rel=\"next\""));
    if let Some(Ok(next)) = next.map(HeaderValue::try_from) {
        response.headers_mut().insert(LINK, next);
    }
    response
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    artifact_type: Option<String>,
    last: Option<String>,
}

pub(super) async fn referrers(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, subject): In<String>,
    Query(asked): Query<About>,
) -> RegistryReply {
    let kind = asked.artifact_type.as_deref();
    let last = asked.last.as_deref().unwrap_or_default();
    let about = api.control.images.referrers(&caller, &name, &digest(&subject)?, kind, last).await?;
    let headers = [(CONTENT_TYPE, MediaType::OciIndex.as_str())];
    let mut response = (headers, about.index.to_string()).into_response();
    let next = about.next.map(|last| {
        let path = place(&name, &format!("referrers/{subject}"));
        let kind = kind.map(|kind| format!("&artifactType={}", escaped(kind))).unwrap_or_default();
        format!("<{path}?last={last}{kind}>; rel=\"next\"")
    });
    if let Some(Ok(next)) = next.map(HeaderValue::try_from) {
        response.headers_mut().insert(LINK, next);
    }
    if kind.is_some() {
        response.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
    }
    Ok(response)
}

/// What a client named, for an address.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let escaped = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    escaped.collect()
}
