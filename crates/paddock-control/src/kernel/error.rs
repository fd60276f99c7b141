//! What a use case answers when it does not do what was asked: one part for the user, one for the operator.

use std::fmt;

use paddock_core::ErrorId;
pub(crate) use paddock_core::error::chain;
use paddock_store::StoreError;

const INTERNAL: &str = "Internal server error. The server's log has the cause under this request's id.";

/// A refusal or a failure. `message` is for the user; the cause is for the log and has no way into an answer.
#[derive(Debug)]
pub struct Error {
    /// The error id of the answer.
    pub id: ErrorId,
    /// A sentence the user can act on.
    pub message: String,
    /// What was not found, where clients ask for it (`"app"`, `"session"`).
    pub resource: Option<&'static str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A refusal with a sentence for the user.
    pub fn new(id: ErrorId, message: impl Into<String>) -> Self {
        Self { id, message: message.into(), resource: None, source: None }
    }

    /// A value that is not acceptable.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorId::InvalidParams, message)
    }

    /// Something that does not exist, or that the actor may not see.
    #[must_use]
    pub fn not_found(resource: &'static str) -> Self {
        let mut error =
            Self::new(ErrorId::NotFound, format!("Couldn't find that {}.", resource.replace('_', " ")));
        error.resource = Some(resource);
        error
    }

    /// A failure of ours: the user gets a stock sentence, the operator the cause.
    pub fn internal(doing: &'static str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            id: ErrorId::InternalServerError,
            message: INTERNAL.into(),
            resource: None,
            source: Some(Box::new(Cause { doing, source: cause.into() })),
        }
    }
}

impl Error {
    /// A failure of ours whose cause says itself what could not be done.
    fn caused(cause: StoreError) -> Self {
        let source: Option<Box<dyn std::error::Error + Send + Sync>> = Some(Box::new(cause));
        Self { id: ErrorId::InternalServerError, message: INTERNAL.into(), resource: None, source }
    }

    /// The database is away for a moment: the user may try again, the operator gets the cause.
    fn database_away(cause: StoreError) -> Self {
        Self {
            id: ErrorId::ServiceUnavailable,
            message: "The database of this server does not answer. Try again in a moment.".into(),
            resource: None,
            source: Some(Box::new(cause)),
        }
    }
}

/// What was being done when something failed.
#[derive(Debug)]
struct Cause {
    doing: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.doing)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

impl From<StoreError> for Error {
    /// What the store refuses is the user's to know; what it fails at is the operator's.
    fn from(error: StoreError) -> Self {
        match &error {
            // It says itself what could not be done.
            StoreError::During { .. } if !error.is_unavailable() => Self::caused(error),
            StoreError::AppGone(_) => Self::not_found("app"),
            // These go by themselves, also between somebody's look and his change.
            StoreError::Gone { noun: "add-on", .. } => {
                Self::not_found_because("add_on", "Couldn't find that add-on.")
            }
            StoreError::Gone { noun: "attachment", .. } => {
                Self::not_found_because("add_on attachment", "Couldn't find that add-on attachment.")
            }
            StoreError::Gone { noun: "transfer", .. } => Self::not_found("transfer"),
            StoreError::Gone { noun: "stack", id } => {
                Self::not_found_because("stack", format!("This server has no stack {id}."))
            }
            StoreError::Gone { noun: "process type", id } => {
                Self::not_found_because("formation", format!("Couldn't find that process type ({id})."))
            }
            StoreError::NameTaken(name) => Self::invalid(format!("Name {name} is already taken")),
            StoreError::EmailTaken(email) => Self::invalid(format!("Email {email} is already taken")),
            StoreError::HostnameTaken(name) => {
                Self::invalid(format!("Domain {name} is currently in use by another app"))
            }
            StoreError::NulInText => Self::invalid("A text cannot hold the character NUL (\\u0000)."),
            StoreError::KeyTaken(fingerprint) => {
                Self::invalid(format!("Key {fingerprint} is already taken: it belongs to an account"))
            }
            StoreError::AlreadyCollaborator(_) => Self::invalid("User is already a collaborator on this app"),
            StoreError::AddonNameTaken(name) => Self::invalid(format!("Name {name} is already taken")),
            StoreError::AttachmentNameTaken(name) => {
                Self::invalid(format!("Attachment name {name} is already taken on this app"))
            }
            StoreError::BuildRunning { id } => {
                Self::new(ErrorId::Conflict, format!("Build {id} of this app is still running."))
            }
            _ if error.is_unavailable() => Self::database_away(error),
            _ => Self::internal("read or write the database", error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id.as_str(), self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|cause| cause.as_ref() as _)
    }
}

impl Error {
    /// Something that does not exist, with a sentence of its own.
    pub(crate) fn not_found_because(resource: &'static str, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorId::NotFound, message);
        error.resource = Some(resource);
        error
    }
}
