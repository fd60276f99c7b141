//! The error ids of the Platform API and the HTTP status each one means; an error with its causes as one text.

use std::error::Error;

/// The `id` of an API error body. Source: `docs/contract/platform-behaviour.md`, section 27.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorId {
    /// The request could not be read: malformed JSON, a missing field.
    BadRequest,
    /// No valid credentials.
    Unauthorized,
    /// The caller may see the thing, not do this to it.
    Forbidden,
    /// It does not exist, or the caller may not see it, or it is not built.
    NotFound,
    /// The Accept header names no version we speak.
    NotAcceptable,
    /// The state of the thing forbids it now.
    Conflict,
    /// It existed and is gone.
    Gone,
    /// A precondition header did not match.
    PreconditionFailed,
    /// The body is larger than we take.
    PayloadTooLarge,
    /// The Range header names an attribute or a value we do not know.
    RequestedRangeNotSatisfiable,
    /// The request was read and a value in it is not acceptable.
    InvalidParams,
    /// The caller must repeat the request with `confirm`.
    ConfirmationRequired,
    /// What was named is several things.
    MultipleMatches,
    /// Too many requests.
    RateLimit,
    /// Our fault; the cause is in the server's log under the request id.
    InternalServerError,
    /// Not now: starting, stopping, or something we need is away.
    ServiceUnavailable,
}

impl ErrorId {
    /// Every id, for tables and tests.
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::NotAcceptable,
        Self::Conflict,
        Self::Gone,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::RequestedRangeNotSatisfiable,
        Self::InvalidParams,
        Self::ConfirmationRequired,
        Self::MultipleMatches,
        Self::RateLimit,
        Self::InternalServerError,
        Self::ServiceUnavailable,
    ];

    /// The text in the error body's `id`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NotAcceptable => "not_acceptable",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::PreconditionFailed => "precondition_failed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::RequestedRangeNotSatisfiable => "requested_range_not_satisfiable",
            Self::InvalidParams => "invalid_params",
            Self::ConfirmationRequired => "confirmation_required",
            Self::MultipleMatches => "multiple_matches",
            Self::RateLimit => "rate_limit",
            Self::InternalServerError => "internal_server_error",
            Self::ServiceUnavailable => "service_unavailable",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::NotAcceptable => 406,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::PreconditionFailed => 412,
            Self::PayloadTooLarge => 413,
            Self::RequestedRangeNotSatisfiable => 416,
            Self::InvalidParams | Self::ConfirmationRequired | Self::MultipleMatches => 422,
            Self::RateLimit => 429,
            Self::InternalServerError => 500,
            Self::ServiceUnavailable => 503,
        }
    }
}

/// An error and its causes on one line, outermost first, separated by `: `. For logs; a user is told what to do instead.
///
/// An error's own text does not repeat its cause, so nothing is said twice.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{ErrorId, chain};

    #[derive(Debug, thiserror::Error)]
    #[error("could not {doing}")]
    struct Failed {
        doing: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn a_chain_names_every_cause_once_outermost_first() {
        let bind = Failed { doing: "bind the port", source: None };
        assert_eq!(chain(&bind), "could not bind the port");
        let start = Failed { doing: "start the router", source: Some(Box::new(bind)) };
        let serve = Failed { doing: "serve", source: Some(Box::new(start)) };
        assert_eq!(chain(&serve), "could not serve: could not start the router: could not bind the port");
    }

    #[test]
    fn the_whole_table_is_distinct_and_an_error() {
        let mut ids: Vec<_> = ErrorId::ALL.iter().map(|id| id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ErrorId::ALL.len());
        assert!(ErrorId::ALL.iter().all(|id| (400..600).contains(&id.status())));
    }
}
