//! SSH keys of accounts.

use serde::{Deserialize, Serialize};

use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// What follows the key in its line.
    pub comment: String,
    pub created_at: Time,
    pub email: String,
    /// `SHA256:` and the digest, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    pub id: String,
    /// The whole line: type, key, comment.
    pub public_key: String,
    pub updated_at: Time,
}

/// Body of `POST /account/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    /// A line of a `.pub` file.
    pub public_key: String,
}
