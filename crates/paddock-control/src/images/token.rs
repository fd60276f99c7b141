//! Tokens of the registry's own: for some repositories and a quarter of an hour, made from an account's token by who speaks
//! the token authentication of Docker's registries. They are signed, not stored, and end with the token they were made from.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use paddock_core::{AccountId, AppRef, AuthorizationId, UnixMicros};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::Images;
use super::access::{Action, Caller, Grant, RepositoryName};
use super::error::RegistryResult;
use crate::{Actor, Error, Result};

const KEY_SETTING: &str = "registry_token_key";
/// What the tokens begin with, which are no account's.
const PREFIX: &str = "paddock-registry.";
pub(super) const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// The most repositories of one token.
const GRANTS_MAX: usize = 16;

/// The key that tokens are signed with, once read.
#[derive(Debug, Default)]
pub(crate) struct TokenKey(OnceCell<[u8; 32]>);

/// A token that was made.
#[derive(Debug, Clone)]
pub struct RegistryToken {
    pub token: String,
    pub expires_in: Duration,
    pub issued_at: UnixMicros,
}

impl Images {
    /// Makes a token for what an account may do of these scopes (`repository:APP/TYPE:pull,push`); it is good for what is
    /// left of them, perhaps nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn make_token(&self, actor: &Actor, scopes: &[String]) -> Result<RegistryToken> {
        let mut grants = Vec::new();
        for scope in scopes.iter().flat_map(|scopes| scopes.split(' ')).take(GRANTS_MAX) {
            let Some((name, actions)) = read_scope(scope) else { continue };
            let Ok(repository) = RepositoryName::parse(&name) else { continue };
            let app = AppRef::from(repository.app_name().to_owned());
            if self.kernel.visible_app(actor, &app).await.is_ok() {
                grants.push(Grant { name, actions });
            }
        }
        let issued_at = self.kernel.now();
        let content = json!({
            "account": actor.account_id.to_string(),
            "authorization": actor.authorization_id.map(|id| id.to_string()),
            "until": (issued_at + GOOD_FOR).0,
            "access": grants.iter().map(written).collect::<Vec<_>>(),
        });
        let content = content.to_string();
        let mac = hmac::sign(&self.token_key().await?, content.as_bytes());
        let [content, mac] = [content.as_bytes(), mac.as_ref()].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        Ok(RegistryToken { token: format!("{PREFIX}{content}.{mac}"), expires_in: GOOD_FOR, issued_at })
    }

    /// Who comes with a token of the registry's; `None` for a token that is none of them.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for one that is not good any more.
    pub async fn caller_with_token(&self, token: &str) -> RegistryResult<Option<Caller>> {
        let Some(signed) = token.strip_prefix(PREFIX) else { return Ok(None) };
        let expired =
            || Error::new(paddock_core::ErrorId::Unauthorized, "The token has expired: ask for another.");
        let key = self.token_key().await?;
        let content = verified(&key, signed).ok_or_else(expired)?;
        let until = content["until"].as_i64().map(UnixMicros).filter(|until| *until > self.kernel.now());
        until.ok_or_else(expired)?;
        let account: Option<AccountId> = content["account"].as_str().and_then(|id| id.parse().ok());
        let authorization: Option<AuthorizationId> =
            content["authorization"].as_str().and_then(|id| id.parse().ok());
        let (account, authorization) = account.zip(authorization).ok_or_else(expired)?;
        let made_from = self.kernel.store.authorization(authorization).await?;
        let is_good = made_from.is_some_and(|row| {
            row.account_id == account && row.expires_at.is_none_or(|at| at > self.kernel.now())
        });
        let account = self.kernel.store.account(account).await?;
        let account = account.filter(|account| is_good && account.is_enabled()).ok_or_else(expired)?;
        let grants = content["access"].as_array().map(|all| all.iter().filter_map(read).collect());
        let actor =
            Actor { account_id: account.id, email: account.email, authorization_id: Some(authorization) };
        Ok(Some(Caller { actor, grants: Some(grants.unwrap_or_default()) }))
    }

    async fn token_key(&self) -> Result<hmac::Key> {
        let bytes = self.token_key.0.get_or_try_init(|| self.read_token_key()).await?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    async fn read_token_key(&self) -> Result<[u8; 32]> {
        let doing = "read the key of the registry's tokens";
        let mut fresh = [0; 32];
        aws_lc_rs::rand::fill(&mut fresh).map_err(|_| Error::internal(doing, "no random numbers"))?;
        let sealer = self.kernel.store.sealer();
        let sealed = sealer.seal(KEY_SETTING, &fresh)?;
        let stored = self.kernel.store.get_or_insert_setting(KEY_SETTING, &STANDARD.encode(sealed)).await?;
        let stored = STANDARD.decode(stored).map_err(|error| Error::internal(doing, error))?;
        let clear = sealer.unseal(KEY_SETTING, &stored)?;
        clear.try_into().map_err(|_| Error::internal(doing, "the stored key has another length"))
    }
}

/// `repository:APP/TYPE:pull,push`.
fn read_scope(scope: &str) -> Option<(String, Vec<Action>)> {
    let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
    let all = actions.split(',').flat_map(|word| match word {
        "*" => Action::ALL.to_vec(),
        word => Action::parse(word).into_iter().collect(),
    });
    Some((name.to_owned(), all.collect()))
}

fn verified(key: &hmac::Key, signed: &str) -> Option<Value> {
    let (content, mac) = signed.split_once('.')?;
    let content = URL_SAFE_NO_PAD.decode(content).ok()?;
    let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
    hmac::verify(key, &content, &mac).ok()?;
    serde_json::from_slice(&content).ok()
}

fn written(grant: &Grant) -> Value {
    json!({ "name": grant.name, "actions": grant.actions.iter().map(|action| action.as_str()).collect::<Vec<_>>() })
}

fn read(grant: &Value) -> Option<Grant> {
    let actions = grant["actions"].as_array()?.iter().filter_map(|word| Action::parse(word.as_str()?));
    Some(Grant { name: grant["name"].as_str()?.to_owned(), actions: actions.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read() {
        let read = |scope| read_scope(scope);
        assert_eq!(read("repository:a/web:pull"), Some(("a/web".to_owned(), vec![Action::Pull])));
        assert_eq!(
            read("repository:a/web:pull,push,x"),
            Some(("a/web".to_owned(), vec![Action::Pull, Action::Push]))
        );
        assert_eq!(read("repository:a/web:*").unwrap().1, Action::ALL);
        for none in ["", "repository", "repository:a/web", "registry:catalog:*"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn what_was_changed_is_not_verified() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let sign = |content: &str| {
            let mac = hmac::sign(&key, content.as_bytes());
            format!("{}.{}", URL_SAFE_NO_PAD.encode(content), URL_SAFE_NO_PAD.encode(mac.as_ref()))
        };
        let signed = sign("{\"a\":1}");
        assert_eq!(verified(&key, &signed), Some(json!({ "a": 1 })));
        let other = sign("{\"a\":2}");
        let mixed = format!("{}.{}", signed.split('.').next().unwrap(), other.split('.').nth(1).unwrap());
        for bad in [mixed.as_str(), "", ".", "x.y", &signed[1..]] {
            assert_eq!(verified(&key, bad), None, "{bad}");
        }
    }
}
