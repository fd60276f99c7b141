//! Layers: read-only trees of files that containers are made of, named by their content.

use std::fmt;
use std::str::FromStr;

use crate::hex::hex;

/// SHA-256 of a mountable layer: `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerDigest(String);

/// A text is not a layer's digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a sha256 digest: {0:?}")]
pub struct InvalidDigest(pub String);

impl LayerDigest {
    /// The digest with these 32 bytes.
    #[must_use]
    pub fn of_sha256(bytes: [u8; 32]) -> Self {
        Self(hex(&bytes))
    }

    /// The hex digits alone.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for LayerDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let digits = text.strip_prefix("sha256:").filter(|digits| {
            digits.len() == 64 && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        });
        digits.map(|digits| Self(digits.to_owned())).ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written_and_nothing_else_is_one() {
        let digest = LayerDigest::of_sha256([0xa0; 32]);
        assert_eq!(digest.to_string(), format!("sha256:{}", "a0".repeat(32)));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let (upper, hex) = (format!("sha256:{}", "A0".repeat(32)), "a0".repeat(32));
        for text in
            ["", "sha256:", "sha256:a0", &upper, &hex, &format!("sha512:{hex}"), &format!("sha256:{hex}0")]
        {
            assert_eq!(text.parse::<LayerDigest>(), Err(InvalidDigest(text.to_owned())));
        }
    }
}
