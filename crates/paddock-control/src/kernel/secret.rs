//! Tokens and one-purpose secrets: random, and kept as hashes only.
//!
//! Tokens are 256 random bits with prefix `HRKU-`, stored as SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use paddock_store::SecretSha256;
use sha2::{Digest, Sha256};

/// 256 random bits as 43 characters that are safe in URLs.
pub(crate) fn random() -> String {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Random bytes that nobody guesses.
pub(crate) fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system's random number generator works");
}

pub(crate) fn access_token() -> String {
    format!("HRKU-{}", random())
}

/// What may be shown of a token: its beginning and its end, as the official CLI compares them.
pub(crate) fn hint(token: &str) -> String {
    let part = |range: Option<&str>| range.unwrap_or_default().to_owned();
    format!(
        "{}**********{}",
        part(token.get(..9)),
        part(token.len().checked_sub(4).and_then(|at| token.get(at..)))
    )
}

/// What is stored of a secret. Secrets are random and long: a plain hash is enough to find and to check them.
pub(crate) fn sha256(secret: &str) -> SecretSha256 {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_their_hints_do_not_tell_them() {
        let (one, other) = (access_token(), access_token());
        assert_ne!(one, other);
        assert!(one.starts_with("HRKU-") && one.len() == 48);
        assert_eq!(hint(&one).len(), 9 + 10 + 4);
    }
}
