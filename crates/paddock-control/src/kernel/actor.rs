//! Who acts: made by authentication alone, taken by every use case.

use paddock_core::event::By;
use paddock_core::{AccountId, AuthorizationId};

/// An authenticated account. Nothing outside this crate can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub(crate) account_id: AccountId,
    pub(crate) email: String,
    pub(crate) authorization_id: Option<AuthorizationId>,
}

impl Actor {
    #[must_use]
    pub fn account_id(&self) -> AccountId {
        self.account_id
    }

    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The authorization whose token was used, if a token was.
    #[must_use]
    pub fn authorization_id(&self) -> Option<AuthorizationId> {
        self.authorization_id
    }
}

/// Whether an identity names the actor.
pub(crate) fn is_self(actor: &Actor, identity: &str) -> bool {
    identity == "~" || identity.eq_ignore_ascii_case(&actor.email) || identity == actor.account_id.to_string()
}

impl From<&Actor> for By {
    fn from(actor: &Actor) -> Self {
        Self::Account(actor.account_id)
    }
}
