//! What the registry answers when it does not do what was asked: a code of its own, a sentence, and the cause for the log.

use std::fmt;

use paddock_core::ErrorId;
use paddock_core::registry::RegistryCode;
use paddock_images::BlobError;
use paddock_store::StoreError;

use crate::Error;

/// A refusal or a failure in the registry's words.
#[derive(Debug)]
pub struct RegistryError {
    pub code: RegistryCode,
    /// A sentence the user can act on.
    pub message: String,
    /// The digests that it is about.
    pub detail: Vec<String>,
    /// How much of an upload there is, where a part of it does not begin there.
    pub length: Option<u64>,
    /// What failed, for the log; none for a refusal.
    pub cause: Option<Box<Error>>,
}

/// The result of a use case of the registry.
pub type RegistryResult<T> = std::result::Result<T, RegistryError>;

impl RegistryError {
    pub fn new(code: RegistryCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: Vec::new(), length: None, cause: None }
    }

    /// A manifest names what its app does not have.
    pub(super) fn unknown_names(missing: Vec<String>) -> Self {
        let text = "The manifest names it, and this app does not have it: push it first.";
        Self::new(RegistryCode::ManifestBlobUnknown, text).about(missing)
    }

    pub(super) fn about(self, detail: Vec<String>) -> Self {
        Self { detail, ..self }
    }

    fn range(length: u64) -> Self {
        let text = format!("The upload has {length} bytes so far: go on where it ends.");
        Self { length: Some(length), ..Self::new(RegistryCode::RangeInvalid, text) }
    }

    /// A failure of ours.
    pub(super) fn internal(
        doing: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Error::internal(doing, cause).into()
    }
}

impl From<Error> for RegistryError {
    fn from(error: Error) -> Self {
        let code = match error.id {
            ErrorId::Unauthorized => RegistryCode::Unauthorized,
            ErrorId::NotFound => RegistryCode::NameUnknown,
            ErrorId::RateLimit => RegistryCode::TooManyRequests,
            ErrorId::InternalServerError => RegistryCode::Unknown,
            ErrorId::ServiceUnavailable => RegistryCode::Unavailable,
            _ => RegistryCode::Denied,
        };
        let is_failure = std::error::Error::source(&error).is_some();
        let message = error.message.clone();
        Self { cause: is_failure.then(|| Box::new(error)), ..Self::new(code, message) }
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

impl From<BlobError> for RegistryError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Offset { length } => Self::range(length),
            BlobError::Superseded => {
                let text = "Another request goes on with this upload, or has ended it.";
                Self::new(RegistryCode::BlobUploadInvalid, text)
            }
            BlobError::Complete => {
                let text = "This upload is complete: end it by PUT, or begin another.";
                Self::new(RegistryCode::BlobUploadInvalid, text)
            }
            BlobError::Digest { found } => {
                let text = format!("What was sent has the digest {found}: it was cut or changed on its way.");
                Self::new(RegistryCode::DigestInvalid, text).about(vec![found.to_string()])
            }
            BlobError::Disk { .. } => Self::internal("use the store of blobs", error),
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for RegistryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref() as _)
    }
}
