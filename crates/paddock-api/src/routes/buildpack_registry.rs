//! The buildpack registry, as far as it is here: the built-in buildpacks. The client asks without a token.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use paddock_control::buildpack_installation::Builtin;
use paddock_core::ErrorId;

use super::{Access, Endpoint, Segments, get};
use crate::answer;
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get(Access::Public, "/buildpacks/{buildpack}", info)]
}

async fn info(Segments(name): Segments<String>) -> Result<Response, Problem> {
    let builtin = Builtin::from_name(&name).ok_or_else(|| {
        let text =
            format!("Buildpack {name} is not built into this server: give an https URL of it instead.");
        Problem::new(ErrorId::NotFound, text)
    })?;
    Ok(answer::json(StatusCode::OK, &paddock_wire::buildpack_registry::Buildpack::builtin(builtin.name))
        .into_response())
}
