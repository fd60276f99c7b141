//! Process types: the names on the left of a Procfile.

use std::fmt;
use std::str::FromStr;

/// A process type such as `web`: `^[-\w]{1,128}$`. Source: the published schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessType(String);

/// A text is not a process type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Process type is invalid: it can have 1 to 128 letters, digits, dashes and underscores")]
pub struct InvalidProcessType;

impl ProcessType {
    /// `web`, the only type that gets requests.
    #[must_use]
    pub fn web() -> Self {
        Self("web".into())
    }

    /// `release`, the type of the release phase; never scaled.
    #[must_use]
    pub fn release() -> Self {
        Self("release".into())
    }

    /// `run`, the type of one-off dynos.
    #[must_use]
    pub fn run() -> Self {
        Self("run".into())
    }

    /// Whether this type gets `$PORT` and requests.
    #[must_use]
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// Whether this type runs once for each release and is never scaled.
    #[must_use]
    pub fn is_release(&self) -> bool {
        self.0 == "release"
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessType {
    type Err = InvalidProcessType;

    fn from_str(text: &str) -> Result<Self, InvalidProcessType> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidProcessType)
        }
    }
}

impl fmt::Display for ProcessType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
