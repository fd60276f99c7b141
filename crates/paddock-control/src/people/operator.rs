//! What the operator sees and does on the server's machine: everybody's accounts, and every app of this server.

use std::collections::BTreeMap;

use paddock_core::dyno::DynoState;
use paddock_core::event::{By, Event};
use paddock_core::{AccountId, AppName, UnixMicros};
use paddock_store::{Account, StoreError, Tx};

use crate::kernel::emails::Emails;
use crate::kernel::reconcile::by_app;
use crate::kernel::secret;
use crate::people::People;
use crate::people::account::owned_apps;
use crate::people::authorization::hash_password;
use crate::{Error, Result};

/// An account as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAccount {
    pub email: String,
    pub name: Option<String>,
    /// How many apps it owns, of all servers of this database.
    pub apps: usize,
    /// How many tokens it has.
    pub tokens: usize,
    /// The last use of one.
    pub last_login_at: Option<UnixMicros>,
    pub created_at: UnixMicros,
    pub disabled_at: Option<UnixMicros>,
    /// Whether the server was made with it.
    pub is_first: bool,
}

/// An app as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownApp {
    pub name: AppName,
    pub owner: String,
    /// How many dynos it has now, by state.
    pub dynos: BTreeMap<&'static str, usize>,
    /// When its current release became current.
    pub released_at: Option<UnixMicros>,
    pub slug_bytes: Option<i64>,
}

impl People {
    /// Makes an account with a random password and answers that, once.
    ///
    /// # Errors
    /// `invalid_params` when the address is taken or no address.
    pub async fn create_account_with_random_password(
        &self,
        email: &str,
        name: Option<String>,
    ) -> Result<String> {
        let password = secret::random();
        self.create_account(email, name, &password).await?;
        Ok(password)
    }

    /// Gives an account a random password and answers that, once, when somebody forgot theirs or somebody else knows it:
    /// what was let in by the old one is out. How many tokens that were comes with it.
    pub async fn reset_password(&self, email: &str) -> Result<(String, u64)> {
        let account = self.known_account(email).await?;
        let password = secret::random();
        let hash = hash_password(&password).await?;
        let mut tx = self.kernel.change_platform("reset a password").await?;
        tx.set_account_password(account.id, &hash).await?;
        let tokens = tx.end_sessions_of(account.id).await?;
        tx.commit(
            "account.password_reset",
            Event::AccountPasswordReset { account: account.id },
            By::Operator,
        )
        .await?;
        Ok((password, tokens))
    }

    /// Ends every token and log session of an account. How many tokens.
    pub async fn log_out_account(&self, email: &str) -> Result<u64> {
        let account = self.known_account(email).await?;
        let mut tx = self.kernel.change_platform("log an account out").await?;
        let tokens = tx.end_sessions_of(account.id).await?;
        tx.commit("account.logged_out", Event::AccountLoggedOut { account: account.id }, By::Operator)
            .await?;
        Ok(tokens)
    }

    /// Disables an account, which ends its tokens: nobody gets in by it, and its apps go on. How many tokens.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for the last one that is enabled.
    pub async fn disable_account(&self, email: &str) -> Result<u64> {
        let account = self.known_account(email).await?;
        let mut tx = self.kernel.change_platform("disable an account").await?;
        if is_last(&mut tx, account.id).await? {
            return Err(last_one(&account));
        }
        tx.set_account_disabled(account.id, true).await?;
        let tokens = tx.end_sessions_of(account.id).await?;
        tx.commit("account.disabled", Event::AccountDisabled { account: account.id }, By::Operator).await?;
        Ok(tokens)
    }

    /// Enables an account that was disabled: its password opens it again.
    pub async fn enable_account(&self, email: &str) -> Result<()> {
        let account = self.known_account(email).await?;
        let mut tx = self.kernel.change_platform("enable an account").await?;
        tx.set_account_disabled(account.id, false).await?;
        tx.commit("account.enabled", Event::AccountEnabled { account: account.id }, By::Operator).await?;
        Ok(())
    }

    /// Deletes somebody's account.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` while it owns apps, for the account that the server was made with, and for the last
    /// one that is enabled.
    pub async fn remove_account(&self, email: &str) -> Result<()> {
        let account = self.known_account(email).await?;
        let mut tx = self.kernel.change_platform("delete an account").await?;
        if let Some(names) = owned_apps(&mut tx, account.id).await? {
            return Err(Error::invalid(format!(
                "{} owns apps, which must be destroyed first: {names}",
                account.email
            )));
        }
        if tx.accounts().await?.first().is_none_or(|first| first.id == account.id) {
            return Err(Error::invalid(format!(
                "{} is the account that the server was made with, which it cannot do without. It can be disabled.",
                account.email
            )));
        }
        if is_last(&mut tx, account.id).await? {
            return Err(last_one(&account));
        }
        tx.delete_account(account.id).await?;
        tx.commit("account.removed", Event::AccountDestroyed { account: account.id }, By::Operator).await?;
        Ok(())
    }

    pub async fn known_accounts(&self) -> Result<Vec<KnownAccount>> {
        let now = self.kernel.now();
        let mut known = Vec::new();
        for account in self.kernel.store.accounts().await? {
            let apps = self.kernel.store.apps_owned_by(account.id).await?;
            let tokens = self.kernel.store.authorizations_of(account.id).await?;
            known.push(KnownAccount {
                apps: apps.len(),
                tokens: tokens.iter().filter(|token| token.expires_at.is_none_or(|at| at > now)).count(),
                last_login_at: tokens.iter().filter_map(|token| token.used_at).max(),
                is_first: known.is_empty(),
                email: account.email,
                name: account.name,
                created_at: account.created_at,
                disabled_at: account.disabled_at,
            });
        }
        Ok(known)
    }

    /// Every app of this server, by name.
    pub async fn known_apps(&self) -> Result<Vec<KnownApp>> {
        let mut dynos = by_app(self.kernel.store.all_dynos().await?, |dyno| dyno.app_id);
        let mut emails = Emails::new(&self.kernel);
        let mut known = Vec::new();
        for app in self.kernel.store.apps().await? {
            let mut by_state = BTreeMap::new();
            let own = dynos.remove(&app.id).unwrap_or_default();
            for dyno in own.iter().filter(|dyno| dyno.state != DynoState::Down) {
                *by_state.entry(dyno.state.as_str()).or_default() += 1;
            }
            known.push(KnownApp {
                owner: emails.of(app.owner_id).await?,
                name: app.name,
                dynos: by_state,
                released_at: app.released_at,
                slug_bytes: app.slug_bytes,
            });
        }
        Ok(known)
    }

    /// The account with this address, as the operator may name any.
    pub(crate) async fn known_account(&self, email: &str) -> Result<Account> {
        let found = self.kernel.store.account_by_email(email).await?;
        found.ok_or_else(|| {
            let text = format!("There is no account {email}. The accounts: paddockd account list");
            Error::not_found_because("account", text)
        })
    }
}

/// Whether no other account lets anybody in.
async fn is_last(tx: &mut Tx, id: AccountId) -> std::result::Result<bool, StoreError> {
    Ok(!tx.accounts().await?.iter().any(|account| account.id != id && account.is_enabled()))
}

fn last_one(account: &Account) -> Error {
    Error::invalid(format!(
        "{} is the last account that is enabled: nobody could log in. Make another one first: paddockd account create",
        account.email
    ))
}
