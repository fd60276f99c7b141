//! Why the server does not start.

/// Anything that keeps the server from starting, in words for the operator.
pub(crate) type StartError = Box<dyn std::error::Error + Send + Sync>;
