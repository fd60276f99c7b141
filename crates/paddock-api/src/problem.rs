//! The one place where an error becomes an answer: `{id, message, resource?}` with its status.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use paddock_core::ErrorId;
use paddock_wire::range::InvalidRange;
use paddock_wire::{ErrorBody, accept::NotAcceptable};

use crate::json::json;

/// The longest sentence, in characters: some repeat what the client sent, which may be a megabyte of it.
const MESSAGE_CHARS_MAX: usize = 1000;

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    id: ErrorId,
    message: String,
    resource: Option<&'static str>,
    cause: Option<Arc<paddock_control::Error>>,
}

/// The cause of a failure of ours, on its way to the log. It has no way into the body.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) Arc<paddock_control::Error>);

impl Problem {
    /// A refusal with a sentence for the user.
    pub(crate) fn new(id: ErrorId, message: impl Into<String>) -> Self {
        Self { id, message: bounded(message.into()), resource: None, cause: None }
    }

    /// The same refusal as text, for clients that show it to people as it is (git).
    pub(crate) fn into_plain_response(self) -> Response {
        let text = format!("{}\n", self.message);
        let mut plain = (self.status(), text).into_response();
        if let Some(cause) = self.cause {
            plain.extensions_mut().insert(Cause(cause));
        }
        plain
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.id.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(ErrorId::Unauthorized, "Invalid credentials provided.")
    }
}

impl From<paddock_control::Error> for Problem {
    fn from(error: paddock_control::Error) -> Self {
        let cause = std::error::Error::source(&error).is_some();
        let (id, message, resource) = (error.id, bounded(error.message.clone()), error.resource);
        Self { id, message, resource, cause: cause.then(|| Arc::new(error)) }
    }
}

impl From<InvalidRange> for Problem {
    fn from(error: InvalidRange) -> Self {
        Self::new(ErrorId::RequestedRangeNotSatisfiable, format!("{error}."))
    }
}

impl From<NotAcceptable> for Problem {
    fn from(error: NotAcceptable) -> Self {
        Self::new(ErrorId::NotAcceptable, format!("{error}."))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = ErrorBody {
            id: self.id.as_str().to_owned(),
            message: self.message,
            url: None,
            resource: self.resource.map(str::to_owned),
        };
        let mut response = json(status, &body);
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

fn bounded(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
        message.truncate(end);
        message.push('…');
    }
    message
}
