//! Accounts: who is asking, and the first one.

use paddock_core::{AccountId, UnixMicros};
use paddock_store::NewAccount;
use uuid::Uuid;

use crate::access::failed;
use crate::authorization::hash_password;
use crate::{Actor, Control, Error, Result};

/// An account as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The address.
    pub email: String,
    /// The full name.
    pub name: Option<String>,
    /// The last use of a token.
    pub last_login_at: Option<UnixMicros>,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it was changed.
    pub updated_at: UnixMicros,
}

impl Control {
    /// The account that asks.
    ///
    /// # Errors
    /// `not_found` when it is gone meanwhile.
    pub async fn whoami(&self, actor: &Actor) -> Result<Account> {
        let found = self.store.account(actor.account_id).await.map_err(failed("read an account"))?;
        let account = found.ok_or_else(|| Error::not_found("account"))?;
        let authorizations =
            self.store.authorizations_of(account.id).await.map_err(failed("read an account"))?;
        Ok(Account {
            id: account.id,
            email: account.email,
            name: account.name,
            last_login_at: authorizations.iter().filter_map(|authorization| authorization.used_at).max(),
            created_at: account.created_at,
            updated_at: account.updated_at,
        })
    }

    /// An account by id, address or `~` (the one that asks). Only its own is visible to anybody.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn account(&self, actor: &Actor, identity: &str) -> Result<Account> {
        match is_self(actor, identity) {
            true => self.whoami(actor).await,
            false => Err(Error::not_found("account")),
        }
    }

    /// Makes an account; for the server's own start and its administrator, not for the API.
    ///
    /// # Errors
    /// `invalid_params` when the address is taken or no address.
    pub async fn create_account(
        &self,
        email: &str,
        name: Option<String>,
        password: &str,
    ) -> Result<AccountId> {
        let local_and_host =
            email.split_once('@').filter(|(local, host)| !local.is_empty() && !host.is_empty());
        if local_and_host.is_none() || email.chars().any(|c| c.is_whitespace() || c.is_control() || c == ':')
        {
            return Err(Error::invalid(format!("Email {email:?} is invalid")));
        }
        let id = AccountId::from_uuid(Uuid::now_v7());
        let password_hash = Some(hash_password(password).await?);
        let new = NewAccount { id, email: email.to_owned(), name, password_hash };
        let doing = failed("make an account");
        let mut tx = self.store.begin_platform(self.now()).await.map_err(doing)?;
        tx.create_account(&new).await.map_err(doing)?;
        tx.event(None, "account.create", &format!("{{\"account\":\"{id}\"}}")).await.map_err(doing)?;
        tx.commit().await.map_err(doing)?;
        Ok(id)
    }
}

/// Whether an identity names the actor.
pub(crate) fn is_self(actor: &Actor, identity: &str) -> bool {
    identity == "~" || identity.eq_ignore_ascii_case(&actor.email) || identity == actor.account_id.to_string()
}
