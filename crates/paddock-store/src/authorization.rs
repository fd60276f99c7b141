//! OAuth authorizations with their access tokens. Of a token only the SHA-256 and its last characters are stored.

use paddock_core::{AccountId, AuthorizationId, UnixMicros};

use crate::engine::{reads, row, statements, values};
use crate::error::Result;
use crate::{SecretSha256, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    pub id: AuthorizationId,
    pub account_id: AccountId,
    /// SHA-256 of the whole token.
    pub token_sha256: SecretSha256,
    /// What may be shown of the token, to recognise it by.
    pub token_hint: String,
    /// What the user calls it.
    pub description: String,
    /// The scopes, separated by commas as the caller wrote them.
    pub scope: String,
    /// The token is refused from then on; `None` means never.
    pub expires_at: Option<UnixMicros>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
    /// When its token was last seen, to about the precision of [`Tx::touch_authorization`]'s callers.
    pub used_at: Option<UnixMicros>,
}

row!(Authorization { id, account_id, token_sha256, token_hint, description, scope, created_at, updated_at }
    optional { expires_at, used_at });

/// What a new authorization is made of.
#[derive(Debug, Clone)]
pub struct NewAuthorization {
    pub id: AuthorizationId,
    pub account_id: AccountId,
    /// SHA-256 of the whole token.
    pub token_sha256: SecretSha256,
    /// What may be shown of the token.
    pub token_hint: String,
    /// What the user calls it.
    pub description: String,
    pub scope: String,
    /// The token is refused from then on.
    pub expires_at: Option<UnixMicros>,
}

statements! {
    BY_ID = "SELECT * FROM authorizations WHERE id = $1";
    BY_TOKEN = "SELECT * FROM authorizations WHERE token_sha256 = $1";
    OF_ACCOUNT = "SELECT * FROM authorizations WHERE account_id = $1 ORDER BY created_at, id";
    CREATE = "INSERT INTO authorizations (id, account_id, token_sha256, token_hint, description, scope, \
        expires_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    SET_DESCRIPTION = "UPDATE authorizations SET description = $2, updated_at = $3 WHERE id = $1";
    TOUCH = "UPDATE authorizations SET used_at = $2 WHERE id = $1";
    DELETE = "DELETE FROM authorizations WHERE id = $1";
    PURGE = "DELETE FROM authorizations WHERE expires_at < $1";
}

reads! {
    authorization(id: AuthorizationId) -> one Authorization: BY_ID [id];
    /// The authorization whose token has this SHA-256. It may have expired: the caller looks at `expires_at`.
    authorization_by_token(token_sha256: &SecretSha256) -> one Authorization: BY_TOKEN [*token_sha256];
    /// The authorizations of an account, oldest first.
    authorizations_of(account_id: AccountId) -> all Authorization: OF_ACCOUNT [account_id];
}

impl Tx {
    pub async fn create_authorization(&mut self, new: &NewAuthorization) -> Result<()> {
        let values = values![
            new.id,
            new.account_id,
            new.token_sha256,
            new.token_hint,
            new.description,
            new.scope,
            new.expires_at,
            self.now
        ];
        self.execute(CREATE, values).await.map(drop)
    }

    /// Changes what the user calls it.
    ///
    /// # Errors
    /// `Gone` when there is no such authorization.
    pub async fn set_authorization_description(&mut self, id: AuthorizationId, text: &str) -> Result<()> {
        let values = values![id, text, self.now];
        self.change("authorization", id, SET_DESCRIPTION, values).await
    }

    /// Notes that its token was used now; nothing if it is gone.
    pub async fn touch_authorization(&mut self, id: AuthorizationId) -> Result<()> {
        let values = values![id, self.now];
        self.execute(TOUCH, values).await.map(drop)
    }

    /// Deletes an authorization: its token is refused from the commit on. Whether there was one.
    pub async fn delete_authorization(&mut self, id: AuthorizationId) -> Result<bool> {
        Ok(self.execute(DELETE, values![id]).await? > 0)
    }

    /// Deletes authorizations that expired before `before`. How many.
    pub async fn purge_authorizations(&mut self, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![before]).await
    }
}
