//! Manifests, by tag or digest.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use paddock_control::images::{MANIFEST_BYTES_MAX, ReadManifest};
use paddock_core::registry::{MediaType, Reference, RegistryCode};

use super::blob::{CONTENT_DIGEST, has_it};
use super::caller::RegistryBy;
use super::problem::RegistryProblem;
use super::{In, RegistryReply, place};
use crate::Api;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// How long a manifest may take.
const TIME_MAX: Duration = Duration::from_secs(60);

pub(super) async fn read(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, wanted): In<String>,
    headers: HeaderMap,
) -> RegistryReply {
    let reference = reference(&wanted)?;
    let found = api.control.images.manifest(&caller, &name, &reference, takes_index(&headers)).await?;
    let ReadManifest { digest, media_type, content } = found;
    let tag = format!("\"{digest}\"");
    if has_it(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    let headers = [
        (CONTENT_TYPE, media_type.as_str().to_owned()),
        (CONTENT_LENGTH, content.len().to_string()),
        (CONTENT_DIGEST, digest.to_string()),
        (ETAG, tag),
    ];
    Ok((headers, Body::from(content)).into_response())
}

pub(super) async fn keep(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, wanted): In<String>,
    headers: HeaderMap,
    request: Request,
) -> RegistryReply {
    let reference = reference(&wanted)?;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let content = content_of(request).await?;
    let kept = api.control.images.put_manifest(&caller, &name, &reference, kind, content).await?;
    let headers = [
        (LOCATION, place(&name, &format!("manifests/{}", kept.digest))),
        (CONTENT_DIGEST, kept.digest.to_string()),
        (CONTENT_LENGTH, "0".to_owned()),
    ];
    let subject = kept.subject.map(|subject| [(SUBJECT, subject.to_string())]);
    let response = (StatusCode::CREATED, headers);
    Ok(match subject {
        Some(subject) => (subject, response).into_response(),
        None => response.into_response(),
    })
}

pub(super) async fn remove(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, wanted): In<String>,
) -> Result<Response, RegistryProblem> {
    api.control.images.delete_manifest(&caller, &name, &reference(&wanted)?).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

fn reference(text: &str) -> Result<Reference, RegistryProblem> {
    text.parse().map_err(|_| {
        let text = format!("{text:?} is neither a tag nor a digest of the kind sha256.");
        RegistryProblem::new(RegistryCode::ManifestInvalid, text)
    })
}

/// The whole of a manifest, which is small.
async fn content_of(request: Request) -> Result<Bytes, RegistryProblem> {
    let body = Limited::new(request.into_body(), MANIFEST_BYTES_MAX);
    let refused = |code, text: String| Err(RegistryProblem::new(code, text));
    match tokio::time::timeout(TIME_MAX, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => refused(
            RegistryCode::ManifestTooLarge,
            format!("The manifest is too large: at most {MANIFEST_BYTES_MAX} bytes are taken."),
        ),
        Ok(Err(_)) => refused(RegistryCode::ManifestInvalid, "The manifest ended early.".to_owned()),
        Err(_) => refused(RegistryCode::ManifestInvalid, "The manifest did not come in time.".to_owned()),
    }
}

/// Whether a client takes an index; who does not say what it takes is given whatever there is.
fn takes_index(headers: &HeaderMap) -> bool {
    let mut taken = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    let kinds = [MediaType::OciIndex.as_str(), MediaType::DockerList.as_str(), "*/*", "application/*"];
    let is_index = |part: &str| kinds.contains(&part.split(';').next().unwrap_or_default().trim());
    taken.peek().is_none() || taken.any(|value| value.split(',').any(is_index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_whether_it_takes_an_index() {
        let takes = |values: &[&str]| {
            let values = values.iter().map(|value| (ACCEPT, value.parse().unwrap()));
            takes_index(&values.collect())
        };
        let image = MediaType::DockerManifest.as_str();
        assert!(takes(&[]) && takes(&["*/*"]) && takes(&[image, MediaType::OciIndex.as_str()]));
        assert!(takes(&[&format!("{image}, {};q=0.5", MediaType::DockerList.as_str())]));
        assert!(!takes(&[image]) && !takes(&[&format!("{image}, application/json")]));
    }
}
