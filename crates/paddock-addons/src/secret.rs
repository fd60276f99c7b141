//! What must not be read by accident.

use std::fmt;

/// A text that is shown to nobody who does not ask for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that is secret from now on.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where random bytes come from: the caller fills a buffer with ones that nobody can guess.
pub type Random<'a> = dyn FnMut(&mut [u8]) + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_tell() {
        assert!(!format!("{:?}", Secret::new("p123")).contains("p123"));
    }
}
