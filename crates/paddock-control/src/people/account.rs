//! Accounts: who is asking, and what they change of themselves. The operator makes them.

use std::net::IpAddr;

use paddock_core::event::{By, Event};
use paddock_core::{AccountId, ErrorId, UnixMicros};
use paddock_store::{NewAccount, StoreError, Tx};
use uuid::Uuid;

use crate::kernel::actor::is_self;
use crate::people::People;
use crate::people::authorization::{PASSWORD_BYTES_MAX, hash_password};
use crate::{Actor, Error, Result};

const NAME_BYTES_MAX: usize = 255;
const PASSWORD_CHARS_MIN: usize = 8;

/// An account as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub email: String,
    pub name: Option<String>,
    /// The last use of a token.
    pub last_login_at: Option<UnixMicros>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

/// A wanted change of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountChange {
    /// A new name; `Some(None)` for none.
    pub name: Option<Option<String>>,
    /// A new address; needs the password.
    pub email: Option<String>,
    /// A new password; needs the old one.
    pub new_password: Option<String>,
    /// The password as it is.
    pub password: Option<String>,
}

impl People {
    /// The account that asks.
    ///
    /// # Errors
    /// `not_found` when it is gone meanwhile.
    pub async fn whoami(&self, actor: &Actor) -> Result<Account> {
        let found = self.kernel.store.account(actor.account_id).await?;
        let account = found.ok_or_else(|| Error::not_found("account"))?;
        let authorizations = self.kernel.store.authorizations_of(account.id).await?;
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
    pub async fn account(&self, actor: &Actor, identity: &str) -> Result<Account> {
        match is_self(actor, identity) {
            true => self.whoami(actor).await,
            false => Err(Error::not_found("account")),
        }
    }

    /// Changes the account that asks, all of it or nothing. `client` is where a guess at the password comes from.
    ///
    /// # Errors
    /// `invalid_params` for a wrong password, an address that is none or is taken, a name or a password that is too
    /// long or too short; `rate_limit` after too many wrong passwords.
    pub async fn update_account(
        &self,
        actor: &Actor,
        change: AccountChange,
        client: Option<IpAddr>,
    ) -> Result<Account> {
        let name = change.name.map(|name| checked_name(name.as_deref())).transpose()?;
        if let Some(email) = &change.email {
            check_email(email)?;
        }
        if change.email.is_some() || change.new_password.is_some() {
            self.confirm_password(actor, change.password.as_deref(), client).await?;
        }
        let password_hash = match &change.new_password {
            None => None,
            Some(password) => {
                check_password(password)?;
                Some(hash_password(password).await?)
            }
        };
        let mut tx = self.kernel.change_platform("change an account").await?;
        if let Some(name) = name {
            tx.set_account_name(actor.account_id, name.as_deref()).await?;
        }
        if let Some(email) = &change.email {
            tx.set_account_email(actor.account_id, email).await?;
        }
        if let Some(hash) = password_hash {
            tx.set_account_password(actor.account_id, &hash).await?;
        }
        tx.commit("account.changed", Event::AccountUpdated { account: actor.account_id }, actor).await?;
        self.whoami(actor).await
    }

    /// Somebody who found a session open does not take the account over.
    async fn confirm_password(
        &self,
        actor: &Actor,
        password: Option<&str>,
        client: Option<IpAddr>,
    ) -> Result<()> {
        let Some(password) = password else {
            return Err(Error::invalid("Give your password, too: \"password\" is missing."));
        };
        match self.authenticate_password(&actor.email, password, client).await {
            Ok(_) => Ok(()),
            Err(error) if error.id == ErrorId::Unauthorized => Err(Error::invalid("The password is wrong.")),
            Err(error) => Err(error),
        }
    }

    /// Deletes the account that asks, with its tokens and keys. Answers what it was.
    ///
    /// # Errors
    /// `invalid_params` while it owns apps, or is the account of the server's operator.
    pub async fn delete_account(&self, actor: &Actor) -> Result<Account> {
        let shown = self.whoami(actor).await?;
        let mut tx = self.kernel.change_platform("delete an account").await?;
        if let Some(names) = owned_apps(&mut tx, actor.account_id).await? {
            return Err(Error::invalid(format!("You own apps, which must be destroyed first: {names}")));
        }
        // The oldest is the operator, who reads the metrics and whose token the server's machine has: no other may become it.
        if tx.accounts().await?.first().is_none_or(|operator| operator.id == actor.account_id) {
            return Err(Error::invalid(
                "This is the account of the server's operator, which the server was made with and cannot do without.",
            ));
        }
        tx.delete_account(actor.account_id).await?;
        tx.commit("account.deleted", Event::AccountDestroyed { account: actor.account_id }, actor).await?;
        Ok(shown)
    }

    /// Makes an account; for the server's own start and its operator, not for the API.
    ///
    /// # Errors
    /// `invalid_params` when the address is taken or no address.
    pub async fn create_account(
        &self,
        email: &str,
        name: Option<String>,
        password: &str,
    ) -> Result<AccountId> {
        check_email(email)?;
        let name = checked_name(name.as_deref())?;
        let id = AccountId::from_uuid(Uuid::now_v7());
        let password_hash = Some(hash_password(password).await?);
        let new = NewAccount { id, email: email.to_owned(), name, password_hash };
        let mut tx = self.kernel.change_platform("make an account").await?;
        tx.create_account(&new).await?;
        tx.commit("account.made", Event::AccountCreated { account: id }, By::Operator).await?;
        Ok(id)
    }
}

/// The names of the apps that an account owns, the first ten; `None` when it owns none.
pub(crate) async fn owned_apps(
    tx: &mut Tx,
    id: AccountId,
) -> std::result::Result<Option<String>, StoreError> {
    let apps = tx.apps_owned_by(id).await?;
    let names: Vec<_> = apps.iter().take(10).map(|app| app.name.as_str()).collect();
    let more = if apps.len() > names.len() { ", …" } else { "" };
    Ok((!names.is_empty()).then(|| format!("{}{more}", names.join(", "))))
}

fn check_email(email: &str) -> Result<()> {
    let halves = email.split_once('@').filter(|(local, host)| !local.is_empty() && !host.is_empty());
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == ':';
    match halves.is_none() || email.len() > NAME_BYTES_MAX || email.chars().any(is_odd) {
        true => Err(Error::invalid(format!("Email {email:?} is invalid"))),
        false => Ok(()),
    }
}

/// An empty name counts as no name.
fn checked_name(name: Option<&str>) -> Result<Option<String>> {
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    match name.is_some_and(|name| name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control)) {
        true => Err(Error::invalid(format!("A name is one line of at most {NAME_BYTES_MAX} bytes."))),
        false => Ok(name.map(str::to_owned)),
    }
}

fn check_password(password: &str) -> Result<()> {
    match password.chars().count() >= PASSWORD_CHARS_MIN && password.len() <= PASSWORD_BYTES_MAX {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "A password has at least {PASSWORD_CHARS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes."
        ))),
    }
}
