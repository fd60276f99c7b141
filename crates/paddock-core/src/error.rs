//! The error ids of the Platform API and the HTTP status each one means.

/// The `id` of an API error body. Source: contract `platform-behaviour.md`, section 27.
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
    /// Too many requests.
    RateLimit,
    /// Our fault; the cause is in the server's log under the request id.
    InternalServerError,
    /// Not now: starting, stopping, or something we need is away.
    ServiceUnavailable,
}

impl ErrorId {
    /// Every id, for tables and tests.
    pub const ALL: [Self; 15] = [
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
            Self::InvalidParams | Self::ConfirmationRequired => 422,
            Self::RateLimit => 429,
            Self::InternalServerError => 500,
            Self::ServiceUnavailable => 503,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorId;

    #[test]
    fn the_whole_table_is_distinct_and_an_error() {
        let mut ids: Vec<_> = ErrorId::ALL.iter().map(|id| id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ErrorId::ALL.len());
        assert!(ErrorId::ALL.iter().all(|id| (400..600).contains(&id.status())));
    }
}
