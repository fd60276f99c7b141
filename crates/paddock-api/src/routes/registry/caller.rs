//! Who asks the registry.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::Method;
use http::request::Parts;
use paddock_control::images::Caller;
use paddock_core::registry::RegistryCode;

use super::problem::RegistryProblem;
use crate::Api;
use crate::authentication::{Credentials, credentials};

/// Whoever asks, known and with requests left.
pub(super) struct RegistryBy(pub(super) Caller);

impl FromRequestParts<Arc<Api>> for RegistryBy {
    type Rejection = RegistryProblem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, RegistryProblem> {
        let credentials = credentials(&parts.headers).ok_or_else(RegistryProblem::unauthorized)?;
        let of_registry = match &credentials {
            Credentials::Bearer(token) => api.control.images.caller_with_token(token).await?,
            Credentials::Basic { .. } => None,
        };
        let caller = match of_registry {
            Some(caller) => caller,
            None => Caller::whole(api.control.people.authenticate_token(credentials.token()).await?),
        };
        // The chunks of an upload were counted when it began.
        let is_chunk = parts.method == Method::PATCH || parts.method == Method::PUT;
        if !(is_chunk && parts.uri.path().contains("/blobs/uploads/"))
            && api.control.kernel.count_request(caller.actor()).await?.is_none()
        {
            let text = "Your account reached the rate limit: 4500 requests an hour. Please wait a minute.";
            return Err(RegistryProblem::new(RegistryCode::TooManyRequests, text));
        }
        Ok(Self(caller))
    }
}
