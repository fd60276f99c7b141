//! Accounts: who can log in. The password is stored as the hash that the caller made, never in clear.

use paddock_core::{AccountId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values};
use crate::error::{Result, StoreError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    /// The address as the user wrote it; unique whatever the case.
    pub email: String,
    /// The full name, if given.
    pub name: Option<String>,
    /// The password's hash in PHC form; without one nobody can log in with a password.
    pub password_hash: Option<String>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
    /// When it was deleted. What is left is who made releases and builds of other people's apps.
    pub deleted_at: Option<UnixMicros>,
    /// When the operator disabled it: nobody gets in by it until it is enabled again.
    pub disabled_at: Option<UnixMicros>,
}

impl Account {
    /// Whether somebody may get in by it.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.deleted_at.is_none() && self.disabled_at.is_none()
    }
}

row!(Account { id, email, created_at, updated_at } optional { name, password_hash, deleted_at, disabled_at });

/// What a new account is made of.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub id: AccountId,
    /// The address as the user wrote it.
    pub email: String,
    /// The full name, if given.
    pub name: Option<String>,
    /// The password's hash in PHC form.
    pub password_hash: Option<String>,
}

statements! {
    BY_ID = "SELECT * FROM accounts WHERE id = $1";
    BY_EMAIL = "SELECT * FROM accounts WHERE email_key = $1";
    ALL = "SELECT * FROM accounts WHERE deleted_at IS NULL ORDER BY created_at, id";
    CREATE = "INSERT INTO accounts (id, email, email_key, name, password_hash, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $6)";
    SET_EMAIL = "UPDATE accounts SET email = $2, email_key = $3, updated_at = $4 WHERE id = $1";
    SET_NAME = "UPDATE accounts SET name = $2, updated_at = $3 WHERE id = $1";
    SET_PASSWORD = "UPDATE accounts SET password_hash = $2, updated_at = $3 WHERE id = $1";
    DISABLE = "UPDATE accounts SET disabled_at = $2, updated_at = $2 WHERE id = $1 AND disabled_at IS NULL";
    ENABLE = "UPDATE accounts SET disabled_at = NULL, updated_at = $2 WHERE id = $1";
    /// The address is free again: what made it unique is now something that no address is.
    DELETE = "UPDATE accounts SET email_key = 'deleted ' || id, name = NULL, password_hash = NULL, \
        deleted_at = $2, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL";
    DELETE_AUTHORIZATIONS = "DELETE FROM authorizations WHERE account_id = $1";
    DELETE_COLLABORATIONS = "DELETE FROM collaborators WHERE account_id = $1";
    DELETE_FAVORITES = "DELETE FROM favorites WHERE account_id = $1";
    DELETE_LOG_SESSIONS = "DELETE FROM log_sessions WHERE account_id = $1";
    DELETE_KEYS = "DELETE FROM keys WHERE account_id = $1";
    DELETE_RATE_LIMIT = "DELETE FROM rate_limits WHERE account_id = $1";
    DELETE_REQUEST_OUTCOMES = "DELETE FROM request_outcomes WHERE account_id = $1";
}

/// The form of an address that makes it unique.
pub(crate) fn email_key(email: &str) -> String {
    email.to_lowercase()
}

reads! {
    /// The account with this id, also when it was deleted.
    account(id: AccountId) -> one Account: BY_ID [id];
    /// The account with this address, in any case.
    account_by_email(email: &str) -> one Account: BY_EMAIL [email_key(email)];
    /// Every account that was not deleted, oldest first.
    accounts() -> all Account: ALL [];
}

impl Tx {
    /// Makes an account.
    ///
    /// # Errors
    /// `EmailTaken` when an account has the address in whatever case.
    pub async fn create_account(&mut self, new: &NewAccount) -> Result<()> {
        let values = values![new.id, new.email, email_key(&new.email), new.name, new.password_hash, self.now];
        match self.execute_unique(CREATE, values).await? {
            true => Ok(()),
            false => Err(StoreError::EmailTaken(new.email.clone())),
        }
    }

    /// Changes the address.
    ///
    /// # Errors
    /// `EmailTaken`.
    pub async fn set_account_email(&mut self, id: AccountId, email: &str) -> Result<()> {
        match self.execute_unique(SET_EMAIL, values![id, email, email_key(email), self.now]).await? {
            true => Ok(()),
            false => Err(StoreError::EmailTaken(email.to_owned())),
        }
    }

    /// Changes the full name.
    ///
    /// # Errors
    /// `Gone` when there is no such account.
    pub async fn set_account_name(&mut self, id: AccountId, name: Option<&str>) -> Result<()> {
        let values = values![id, name, self.now];
        self.change("account", id, SET_NAME, values).await
    }

    /// Changes the password's hash.
    ///
    /// # Errors
    /// `Gone` when there is no such account.
    pub async fn set_account_password(&mut self, id: AccountId, password_hash: &str) -> Result<()> {
        let values = values![id, password_hash, self.now];
        self.change("account", id, SET_PASSWORD, values).await
    }

    /// Disables an account, or enables it again; nothing when it is so already.
    pub async fn set_account_disabled(&mut self, id: AccountId, disabled: bool) -> Result<()> {
        let statement = if disabled { DISABLE } else { ENABLE };
        self.execute(statement, values![id, self.now]).await.map(drop)
    }

    /// Ends every token and log session of an account. How many tokens there were.
    pub async fn end_sessions_of(&mut self, id: AccountId) -> Result<u64> {
        let tokens = self.execute(DELETE_AUTHORIZATIONS, values![id]).await?;
        // What was answered may hold a token, and is answered again.
        for statement in [DELETE_LOG_SESSIONS, DELETE_REQUEST_OUTCOMES] {
            self.execute(statement, values![id]).await?;
        }
        Ok(tokens)
    }

    /// Deletes an account with all that lets somebody in or is its own. Its row stays, without name and password, for
    /// what it did on other people's apps; another account may have the address.
    ///
    /// # Errors
    /// `Gone` when there is no such account.
    pub async fn delete_account(&mut self, id: AccountId) -> Result<()> {
        let values = values![id, self.now];
        self.change("account", id, DELETE, values).await?;
        for statement in [
            DELETE_AUTHORIZATIONS,
            DELETE_COLLABORATIONS,
            DELETE_FAVORITES,
            DELETE_LOG_SESSIONS,
            DELETE_KEYS,
            DELETE_RATE_LIMIT,
            DELETE_REQUEST_OUTCOMES,
        ] {
            self.execute(statement, values![id]).await?;
        }
        Ok(())
    }
}
