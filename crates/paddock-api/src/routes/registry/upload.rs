//! Blobs on their way in. Bodies are passed on as they come.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use paddock_control::images::{Begun, Chunk, RepositoryName, Upload, UploadBody};
use paddock_core::registry::RegistryCode;
use paddock_core::{BlobDigest, UploadId};
use serde::Deserialize;

use super::blob::CONTENT_DIGEST;
use super::caller::RegistryBy;
use super::problem::{RegistryProblem, range};
use super::{In, RegistryReply, digest, place};
use crate::Api;

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// What a client asks for besides.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// The blob that the upload is to become.
    digest: Option<String>,
    /// A blob that another repository may have.
    mount: Option<String>,
    /// That repository.
    from: Option<String>,
}

pub(super) async fn begin(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, ()): In,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> RegistryReply {
    let mount = wanted.mount.as_deref().map(digest).transpose()?;
    let whole = wanted.digest.as_deref().map(digest).transpose()?;
    let mount = mount.as_ref().map(|digest| (digest, wanted.from.as_deref()));
    let upload = match api.control.images.begin_upload(&caller, &name, mount).await? {
        Begun::Mounted(digest) => return Ok(kept(&name, &digest)),
        Begun::Upload(upload) => upload,
    };
    let Some(digest) = whole else { return Ok(going_on(StatusCode::ACCEPTED, &name, upload)) };
    let chunk = Chunk { offset: None, length: None, body: body_of(request) };
    api.control.images.finish_upload(&caller, &name, upload.id, Some(chunk), &digest).await?;
    Ok(kept(&name, &digest))
}

pub(super) async fn status(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, upload): In<String>,
) -> RegistryReply {
    let upload = api.control.images.upload(&caller, &name, id(&upload)?).await?;
    Ok(going_on(StatusCode::NO_CONTENT, &name, upload))
}

pub(super) async fn append(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, upload): In<String>,
    request: Request,
) -> RegistryReply {
    let chunk = chunk_of(request)?;
    let upload = api.control.images.append_upload(&caller, &name, id(&upload)?, chunk).await;
    Ok(going_on(StatusCode::ACCEPTED, &name, upload?))
}

pub(super) async fn finish(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, upload): In<String>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> RegistryReply {
    let missing = || RegistryProblem::new(RegistryCode::DigestInvalid, "The upload ends without a digest.");
    let digest = digest(&wanted.digest.ok_or_else(missing)?)?;
    let last = has_body(request.headers()).then(|| chunk_of(request)).transpose()?;
    api.control.images.finish_upload(&caller, &name, id(&upload)?, last, &digest).await?;
    Ok(kept(&name, &digest))
}

pub(super) async fn cancel(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, upload): In<String>,
) -> Result<StatusCode, RegistryProblem> {
    api.control.images.cancel_upload(&caller, &name, id(&upload)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn id(upload: &str) -> Result<UploadId, RegistryProblem> {
    upload.parse().map_err(|_| {
        RegistryProblem::new(RegistryCode::BlobUploadUnknown, "There is no such upload: begin another.")
    })
}

fn has_body(headers: &HeaderMap) -> bool {
    let is_none = headers.get(CONTENT_LENGTH).map_or(!headers.contains_key(TRANSFER_ENCODING), |l| l == "0");
    !is_none
}

fn body_of(request: Request) -> UploadBody {
    Box::pin(request.into_body().into_data_stream().map_err(std::io::Error::other))
}

fn chunk_of(request: Request) -> Result<Chunk, RegistryProblem> {
    let said = request.headers().get(CONTENT_RANGE).map(|range| {
        let read = range.to_str().ok().and_then(place_of);
        read.ok_or_else(|| {
            let text = "The Content-Range of a chunk is the numbers of its first and its last byte: 0-1023.";
            RegistryProblem::new(RegistryCode::BlobUploadInvalid, text)
        })
    });
    let said = said.transpose()?;
    let offset = said.map(|(first, _)| first);
    Ok(Chunk { offset, length: said.map(|(first, last)| last - first + 1), body: body_of(request) })
}

/// First and last byte of a chunk. Some clients write it as of an answer.
fn place_of(range: &str) -> Option<(u64, u64)> {
    let range = range.trim();
    let range = range.strip_prefix("bytes ").or_else(|| range.strip_prefix("bytes=")).unwrap_or(range);
    let (first, last) = range.split('/').next()?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < u64::MAX).then_some((first, last))
}

fn going_on(status: StatusCode, name: &RepositoryName, upload: Upload) -> Response {
    let place = place(name, &format!("blobs/uploads/{}", upload.id));
    let mut response = (status, [(LOCATION, place), (UPLOAD_ID, upload.id.to_string())]).into_response();
    response.headers_mut().insert(RANGE, range(upload.length));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    if status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

fn kept(name: &RepositoryName, digest: &BlobDigest) -> Response {
    let place = place(name, &format!("blobs/{digest}"));
    let headers = [(LOCATION, place), (CONTENT_DIGEST, digest.to_string()), (CONTENT_LENGTH, "0".to_owned())];
    (StatusCode::CREATED, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_chunk_is_read_as_clients_write_it() {
        for good in ["5-9", "bytes 5-9/*", "bytes=5-9", " 5-9 "] {
            assert_eq!(place_of(good), Some((5, 9)), "{good}");
        }
        for bad in ["", "5", "9-5", "-9", "5-", "a-b", "0-18446744073709551615", "bytes */9"] {
            assert_eq!(place_of(bad), None, "{bad}");
        }
    }
}
