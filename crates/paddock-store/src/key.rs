//! SSH keys of accounts. Public ones only: there is nothing secret in them.

use paddock_core::{AccountId, KeyId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values};
use crate::error::{Result, StoreError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    pub account_id: AccountId,
    /// The whole line: type, key, comment.
    pub public_key: String,
    /// What follows the key in its line.
    pub comment: String,
    /// What tells it from all others.
    pub fingerprint: String,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Key { id, account_id, public_key, comment, fingerprint, created_at, updated_at } optional {});

/// What a new key is made of; fields as in [`Key`].
#[derive(Debug, Clone)]
pub struct NewKey {
    pub id: KeyId,
    pub account_id: AccountId,
    pub public_key: String,
    /// What follows the key in its line.
    pub comment: String,
    /// What tells it from all others.
    pub fingerprint: String,
}

statements! {
    OF_ACCOUNT = "SELECT * FROM keys WHERE account_id = $1 ORDER BY created_at, id";
    CREATE = "INSERT INTO keys (id, account_id, public_key, comment, fingerprint, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $6)";
    DELETE = "DELETE FROM keys WHERE id = $1";
}

reads! {
    /// The keys of an account, oldest first.
    keys(account_id: AccountId) -> all Key: OF_ACCOUNT [account_id];
}

impl Tx {
    /// Adds a key.
    ///
    /// # Errors
    /// `KeyTaken` when an account has it.
    pub async fn create_key(&mut self, new: &NewKey) -> Result<()> {
        let values = values![new.id, new.account_id, new.public_key, new.comment, new.fingerprint, self.now];
        match self.execute_unique(CREATE, values).await? {
            true => Ok(()),
            false => Err(StoreError::KeyTaken(new.fingerprint.clone())),
        }
    }

    /// Removes a key. Whether there was one.
    pub async fn delete_key(&mut self, id: KeyId) -> Result<bool> {
        Ok(self.execute(DELETE, values![id]).await? > 0)
    }
}
