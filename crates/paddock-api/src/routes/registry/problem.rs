//! Refusals in the registry's form: its clients show the message of each error.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{RANGE, RETRY_AFTER};
use paddock_control::images::RegistryError;
use paddock_core::registry::RegistryCode;
use serde_json::{Value, json};

use crate::json::json as body;
use crate::problem::Cause;

/// The most errors of one answer.
const ERRORS_MAX: usize = 20;

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct RegistryProblem(RegistryError);

impl RegistryProblem {
    pub(crate) fn new(code: RegistryCode, message: impl Into<String>) -> Self {
        Self(RegistryError::new(code, message))
    }

    /// Nobody knows who asks. The challenge is a matter of how they asked.
    pub(super) fn unauthorized() -> Self {
        let text =
            "Log in with any user name, and an access token as password: heroku auth:token prints one.";
        Self::new(RegistryCode::Unauthorized, text)
    }
}

impl From<RegistryError> for RegistryProblem {
    fn from(error: RegistryError) -> Self {
        Self(error)
    }
}

impl From<paddock_control::Error> for RegistryProblem {
    fn from(error: paddock_control::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for RegistryProblem {
    fn into_response(self) -> Response {
        let RegistryError { code, message, detail, length, cause } = self.0;
        let error = |detail: Value| json!({ "code": code.as_str(), "message": message, "detail": detail });
        let mut errors: Vec<_> =
            detail.iter().take(ERRORS_MAX).map(|digest| error(json!({ "digest": digest }))).collect();
        if errors.is_empty() {
            errors.push(error(Value::Null));
        }
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = body(status, &json!({ "errors": errors }));
        let headers = response.headers_mut();
        if let Some(length) = length {
            headers.insert(RANGE, range(length));
        }
        if code == RegistryCode::TooManyRequests {
            headers.insert(RETRY_AFTER, http::HeaderValue::from_static("60"));
        }
        if let Some(cause) = cause {
            response.extensions_mut().insert(Cause(Arc::new(*cause)));
        }
        response
    }
}

/// How much of an upload there is, in the form of its clients: the number of the last byte, also where there is none.
pub(super) fn range(length: u64) -> http::HeaderValue {
    let text = format!("0-{}", length.saturating_sub(1));
    http::HeaderValue::try_from(text).unwrap_or(http::HeaderValue::from_static("0-0"))
}
