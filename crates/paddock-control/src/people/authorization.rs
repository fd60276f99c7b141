//! Authorizations: tokens, logging in, and the limits on guessing passwords.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use paddock_core::event::Event;
use paddock_core::{AccountId, AuthorizationId, ErrorId, UnixMicros};
use paddock_store::{Authorization as Row, NewAuthorization};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::kernel::secret;
use crate::people::People;
use crate::{Actor, Error, Result};

/// How long a failed login counts.
const FAILURES_COUNT_FOR: Duration = Duration::from_secs(15 * 60);
/// Failed logins with one address from one place, then from one place, then with one address. The last is the
/// largest, so that a stranger cannot lock somebody out as easily as he is locked out himself.
const FAILURES_OF_BOTH_MAX: i64 = 10;
const FAILURES_OF_ADDRESS_MAX: i64 = 50;
const FAILURES_OF_EMAIL_MAX: i64 = 100;
/// How stale the time of a token's last use may be: it is written no oftener.
const USED_AT_PRECISION: Duration = Duration::from_secs(60 * 60);
const DESCRIPTION_BYTES_MAX: usize = 1024;
/// Longer ones are refused before they cost anything.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Hashing takes 19 MB and tens of milliseconds: only two at a time, and a guess waits for its turn before the
/// failures are counted.
static PASSWORD_CHECKS: Semaphore = Semaphore::const_new(2);

/// An authorization as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    pub id: AuthorizationId,
    pub account_id: AccountId,
    pub email: String,
    /// The name of the account.
    pub name: Option<String>,
    /// The token: in full when it was just made, else its beginning and end.
    pub token: String,
    /// Seconds until it expires; `None` for never.
    pub expires_in_seconds: Option<i64>,
    pub description: String,
    pub scope: Vec<String>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorizationOrder {
    pub description: Option<String>,
    /// Seconds until it expires; `None` for never.
    pub expires_in_seconds: Option<i64>,
    /// What it allows; only `global` is built.
    pub scope: Option<Vec<String>>,
}

/// A wanted change of an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorizationChange {
    pub description: Option<String>,
}

impl People {
    /// The account that a token belongs to.
    pub async fn authenticate_token(&self, token: &str) -> Result<Actor> {
        let found = self.kernel.store.authorization_by_token(&secret::sha256(token)).await?;
        let now = self.kernel.now();
        let valid = found.filter(|row| row.expires_at.is_none_or(|expires_at| expires_at > now));
        let row = valid.ok_or_else(invalid_credentials)?;
        let account = self.kernel.store.account(row.account_id).await?;
        let account = account.filter(paddock_store::Account::is_enabled).ok_or_else(invalid_credentials)?;
        if row.used_at.is_none_or(|used_at| now.since(used_at) > USED_AT_PRECISION) {
            let mut tx = self.kernel.record("check a token").await?;
            tx.touch_authorization(row.id).await?;
            tx.commit_quietly("authorization.used").await?;
        }
        Ok(Actor { account_id: account.id, email: account.email, authorization_id: Some(row.id) })
    }

    /// The account with this address and password; for making an authorization, nothing else. `client` is where the
    /// guess comes from.
    ///
    /// # Errors
    /// `unauthorized`; `forbidden` when the account is disabled; `rate_limit` after too many failures, then also for the
    /// right password.
    pub async fn authenticate_password(
        &self,
        email: &str,
        password: &str,
        client: Option<IpAddr>,
    ) -> Result<Actor> {
        let place = client.map_or_else(|| "unknown".to_owned(), place_of);
        let _turn =
            PASSWORD_CHECKS.acquire().await.map_err(|error| Error::internal("check a password", error))?;
        self.refuse_guessing(email, &place).await?;
        let account = self.kernel.store.account_by_email(email).await?;
        let hash = account.as_ref().and_then(|account| account.password_hash.clone());
        // An unknown address costs the same time as a known one.
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NO_ONES_HASH.clone());
        let right =
            password.len() <= PASSWORD_BYTES_MAX && verify_password(password.to_owned(), hash).await?;
        let mut tx = self.kernel.record("check a password").await?;
        let Some(account) = account.filter(|_| right && known) else {
            tx.record_login_failure(email, &place).await?;
            tx.commit_quietly("login.failed").await?;
            return Err(invalid_credentials());
        };
        tx.clear_login_failures(email, &place).await?;
        tx.commit_quietly("login.succeeded").await?;
        if !account.is_enabled() {
            let text = "This account is disabled. The operator of the server can enable it again.";
            return Err(Error::new(ErrorId::Forbidden, text));
        }
        Ok(Actor { account_id: account.id, email: account.email, authorization_id: None })
    }

    async fn refuse_guessing(&self, email: &str, place: &str) -> Result<()> {
        let since = self.kernel.now() - FAILURES_COUNT_FOR;
        let counted = self.kernel.store.login_failures_since(email, place, since).await;
        let failures = counted?;
        if failures.of_both < FAILURES_OF_BOTH_MAX
            && failures.of_address < FAILURES_OF_ADDRESS_MAX
            && failures.of_email < FAILURES_OF_EMAIL_MAX
        {
            return Ok(());
        }
        let text = "Too many failed logins. Wait a quarter of an hour, then try again.";
        Err(Error::new(ErrorId::RateLimit, text))
    }

    /// Makes an authorization; its token is shown this once.
    ///
    /// # Errors
    /// `invalid_params` for a scope that is not built, a negative expiry, a description beyond a kilobyte.
    pub async fn create_authorization(
        &self,
        actor: &Actor,
        order: AuthorizationOrder,
    ) -> Result<Authorization> {
        let scope =
            order.scope.filter(|scope| !scope.is_empty()).unwrap_or_else(|| vec!["global".to_owned()]);
        if let Some(other) = scope.iter().find(|scope| *scope != "global") {
            return Err(Error::invalid(format!(
                "Scope {other} is not built on this server yet: only global is."
            )));
        }
        if order.expires_in_seconds.is_some_and(|seconds| !(1..=10_000_000_000).contains(&seconds)) {
            return Err(Error::invalid("expires_in must be between 1 and 10000000000 seconds."));
        }
        let description =
            checked_description(order.description.as_deref().unwrap_or("Long-lived user authorization"))?;
        let expires_at = order
            .expires_in_seconds
            .map(|seconds| self.kernel.now() + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        let scope = scope.join(",");
        let (id, token) = self.store_authorization(actor, description, scope, expires_at).await?;
        self.shown_authorization(actor, id, Some(token)).await
    }

    async fn store_authorization(
        &self,
        actor: &Actor,
        description: String,
        scope: String,
        expires_at: Option<UnixMicros>,
    ) -> Result<(AuthorizationId, String)> {
        let (id, token) = (AuthorizationId::from_uuid(Uuid::now_v7()), secret::access_token());
        let new = NewAuthorization {
            id,
            account_id: actor.account_id,
            token_sha256: secret::sha256(&token),
            token_hint: secret::hint(&token),
            description,
            scope,
            expires_at,
        };
        let mut tx = self.kernel.change_platform("make an authorization").await?;
        tx.create_authorization(&new).await?;
        tx.commit("authorization.made", Event::AuthorizationCreated { authorization: id }, actor).await?;
        Ok((id, token))
    }

    /// The authorizations of the account that asks, those that expired left out.
    pub async fn list_authorizations(&self, actor: &Actor) -> Result<Vec<Authorization>> {
        let rows = self.kernel.store.authorizations_of(actor.account_id).await?;
        let name = self.kernel.store.account(actor.account_id).await?.and_then(|account| account.name);
        let now = self.kernel.now();
        let alive = rows.into_iter().filter(|row| row.expires_at.is_none_or(|expires_at| expires_at > now));
        Ok(alive.map(|row| view(actor, row, name.clone(), None, now)).collect())
    }

    /// One authorization of the account that asks.
    ///
    /// # Errors
    /// `not_found`, also for `~`: no authorization is the account's default.
    pub async fn authorization(&self, actor: &Actor, id: &str) -> Result<Authorization> {
        let row = self.own_authorization(actor, id).await?;
        self.shown_authorization(actor, row.id, None).await
    }

    /// Changes what an authorization is called.
    ///
    /// # Errors
    /// `not_found`, `invalid_params`.
    pub async fn update_authorization(
        &self,
        actor: &Actor,
        id: &str,
        change: AuthorizationChange,
    ) -> Result<Authorization> {
        let row = self.own_authorization(actor, id).await?;
        if let Some(description) = change.description {
            let description = checked_description(&description)?;
            let mut tx = self.kernel.change_platform("change an authorization").await?;
            tx.set_authorization_description(row.id, &description).await?;
            tx.commit("authorization.changed", Event::AuthorizationUpdated { authorization: row.id }, actor)
                .await?;
        }
        self.shown_authorization(actor, row.id, None).await
    }

    /// Deletes an authorization: its token is refused from now on. Answers what it was.
    pub async fn revoke_authorization(&self, actor: &Actor, id: &str) -> Result<Authorization> {
        let row = self.own_authorization(actor, id).await?;
        let shown = self.shown_authorization(actor, row.id, None).await?;
        let mut tx = self.kernel.change_platform("revoke an authorization").await?;
        tx.delete_authorization(row.id).await?;
        tx.commit("authorization.revoked", Event::AuthorizationDestroyed { authorization: row.id }, actor)
            .await?;
        Ok(shown)
    }

    /// Replaces an authorization by one like it with a new token.
    pub async fn regenerate_authorization(&self, actor: &Actor, id: &str) -> Result<Authorization> {
        let row = self.own_authorization(actor, id).await?;
        let expires_at =
            row.expires_at.map(|expires_at| self.kernel.now() + expires_at.since(row.created_at));
        let (new, token) = self.store_authorization(actor, row.description, row.scope, expires_at).await?;
        self.revoke_authorization(actor, id).await?;
        self.shown_authorization(actor, new, Some(token)).await
    }

    /// Ends a browser session: there are none, which is the answer that the logout command expects.
    pub async fn end_session(&self, _: &Actor) -> Error {
        Error::not_found("session")
    }

    async fn own_authorization(&self, actor: &Actor, id: &str) -> Result<Row> {
        let missing = || Error::not_found("authorization");
        let id: AuthorizationId = id.parse().map_err(|_| missing())?;
        let row = self.kernel.store.authorization(id).await?;
        row.filter(|row| row.account_id == actor.account_id).ok_or_else(missing)
    }

    async fn shown_authorization(
        &self,
        actor: &Actor,
        id: AuthorizationId,
        token: Option<String>,
    ) -> Result<Authorization> {
        let row = self.kernel.store.authorization(id).await?;
        let row = row.ok_or_else(|| Error::not_found("authorization"))?;
        let name = self.kernel.store.account(row.account_id).await?.and_then(|account| account.name);
        Ok(view(actor, row, name, token, self.kernel.now()))
    }
}

fn view(
    actor: &Actor,
    row: Row,
    name: Option<String>,
    token: Option<String>,
    now: UnixMicros,
) -> Authorization {
    let seconds = |expires_at: UnixMicros| i64::try_from(expires_at.since(now).as_secs()).unwrap_or(i64::MAX);
    Authorization {
        id: row.id,
        account_id: row.account_id,
        email: actor.email.clone(),
        name,
        token: token.unwrap_or(row.token_hint),
        expires_in_seconds: row.expires_at.map(seconds),
        description: row.description,
        scope: row.scope.split(',').map(str::to_owned).collect(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn checked_description(text: &str) -> Result<String> {
    match text.len() {
        0..=DESCRIPTION_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(Error::invalid(format!(
            "The description is too long: at most {DESCRIPTION_BYTES_MAX} bytes."
        ))),
    }
}

fn invalid_credentials() -> Error {
    Error::new(ErrorId::Unauthorized, "Invalid credentials provided.")
}

/// What failures from one client are counted under: an IPv6 client has a whole /64 to itself.
fn place_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        },
    }
}

/// Hashes a password with argon2id, off the async threads.
pub(crate) async fn hash_password(password: &str) -> Result<String> {
    let password = password.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash(&password));
    hashed.await.map_err(|error| Error::internal("hash a password", error))
}

async fn verify_password(password: String, hash: String) -> Result<bool> {
    let verified = tokio::task::spawn_blocking(move || {
        PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    verified.await.map_err(|error| Error::internal("check a password", error))
}

fn hash(password: &str) -> String {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).expect("the system's random number generator works");
    let salt = SaltString::encode_b64(&salt).expect("sixteen bytes are a salt");
    let hashed = Argon2::default().hash_password(password.as_bytes(), &salt);
    hashed.expect("the default parameters are valid").to_string()
}

/// The hash of a password that nobody knows.
static NO_ONES_HASH: LazyLock<String> = LazyLock::new(|| hash(&secret::random()));

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn failures_are_counted_by_network_for_ipv6() {
        let place = |text: &str| place_of(text.parse().unwrap());
        assert_eq!(place("192.0.2.1"), place("::ffff:192.0.2.1"));
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
    }
}
