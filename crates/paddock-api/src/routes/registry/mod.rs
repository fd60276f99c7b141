//! `/v2/`: the container registry, in its own protocol and its own words, at any host of the platform.
//!
//! Repositories are `APP/TYPE`. Any user name and a token of the account as password let a client in, and so does the token as
//! Bearer; clients that speak the token authentication of Docker's registries get one that is good for a while from
//! `/v2/token`. Where something is found is always said by a path alone, so that it fits however the client came.

mod blob;
mod caller;
mod dress;
mod list;
mod manifest;
mod problem;
mod token;
mod upload;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use paddock_control::images::RepositoryName;
use paddock_core::registry::RegistryCode;
use serde::de::DeserializeOwned;

use self::caller::RegistryBy;
pub(crate) use self::dress::dress;
use self::problem::RegistryProblem;
use super::{Access, Endpoint, delete, get, patch, post, put};
use crate::Api;
use crate::json::json;

type RegistryReply = Result<Response, RegistryProblem>;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let challenge = Access::Challenge;
    vec![
        get(challenge, "/v2", base),
        get(challenge, "/v2/", base),
        get(challenge, "/v2/token", token::make),
        get(challenge, "/v2/_catalog", list::catalog),
        get(challenge, "/v2/{app}/{type}/tags/list", list::tags),
        get(challenge, "/v2/{app}/{type}/referrers/{digest}", list::referrers),
        post(challenge, "/v2/{app}/{type}/blobs/uploads", upload::begin),
        post(challenge, "/v2/{app}/{type}/blobs/uploads/", upload::begin),
        get(challenge, "/v2/{app}/{type}/blobs/uploads/{upload}", upload::status),
        patch(challenge, "/v2/{app}/{type}/blobs/uploads/{upload}", upload::append),
        put(challenge, "/v2/{app}/{type}/blobs/uploads/{upload}", upload::finish),
        delete(challenge, "/v2/{app}/{type}/blobs/uploads/{upload}", upload::cancel),
        get(challenge, "/v2/{app}/{type}/blobs/{digest}", blob::read),
        delete(challenge, "/v2/{app}/{type}/blobs/{digest}", blob::remove),
        get(challenge, "/v2/{app}/{type}/manifests/{reference}", manifest::read),
        put(challenge, "/v2/{app}/{type}/manifests/{reference}", manifest::keep),
        delete(challenge, "/v2/{app}/{type}/manifests/{reference}", manifest::remove),
    ]
}

/// That this is a registry, and that whoever asks is known to it.
async fn base(_: RegistryBy) -> Response {
    json(StatusCode::OK, &serde_json::Map::new())
}

/// The repository of a path, and what else it names.
struct In<T = ()>(RepositoryName, T);

/// The segments after the repository's.
trait Rest: Sized {
    type Whole: DeserializeOwned + Send;
    fn split(whole: Self::Whole) -> (String, String, Self);
}

impl Rest for () {
    type Whole = (String, String);
    fn split((app, repository): Self::Whole) -> (String, String, Self) {
        (app, repository, ())
    }
}

impl Rest for String {
    type Whole = (String, String, String);
    fn split((app, repository, rest): Self::Whole) -> (String, String, Self) {
        (app, repository, rest)
    }
}

impl<T: Rest> FromRequestParts<Arc<Api>> for In<T> {
    type Rejection = RegistryProblem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, RegistryProblem> {
        let segments = super::Segments::<T::Whole>::from_request_parts(parts, api).await;
        let super::Segments(segments) = segments.map_err(|_| {
            RegistryProblem::new(RegistryCode::NameInvalid, "The request's path cannot be read.")
        })?;
        let (app, repository, rest) = T::split(segments);
        Ok(Self(RepositoryName::new(app, &repository)?, rest))
    }
}

/// A digest, as a client names one.
fn digest(text: &str) -> Result<paddock_core::BlobDigest, RegistryProblem> {
    text.parse().map_err(|_| {
        let text = format!("{text:?} is no digest: sha256: and 64 lower-case digits.");
        RegistryProblem::new(RegistryCode::DigestInvalid, text)
    })
}

/// Where something of a repository is.
fn place(name: &RepositoryName, rest: &str) -> String {
    format!("/v2/{name}/{rest}")
}
