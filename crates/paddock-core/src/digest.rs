//! Names of things by their content: SHA-256, as `sha256:` and 64 lower-case hex digits.

use std::fmt;
use std::str::FromStr;

use crate::hex::hex;

/// A text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a sha256 digest: {0:?}")]
pub struct InvalidDigest(pub String);

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
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

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "sha256:{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidDigest;

            fn from_str(text: &str) -> Result<Self, InvalidDigest> {
                digits(text).map(|digits| Self(digits.to_owned())).ok_or_else(|| InvalidDigest(text.to_owned()))
            }
        }
    };
}

digest! {
    /// A mountable layer: a read-only tree of files that containers are made of.
    LayerDigest
}
digest! {
    /// What a client sent, or what was made to be sent: a blob, a manifest, a configuration. An image goes by the digest of
    /// its configuration. Never a name of something mountable.
    BlobDigest
}

fn digits(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:")?;
    (digits.len() == 64 && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))).then_some(digits)
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
            assert_eq!(text.parse::<BlobDigest>(), Err(InvalidDigest(text.to_owned())));
        }
    }
}
