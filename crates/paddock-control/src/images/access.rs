//! Who may do what with a repository: whoever works on its app may pull and push, by a token of the account or by one of the
//! registry's own, which says for which repositories it is.
//!
//! An app that one may not see is answered as one that is not there.

use paddock_core::registry::{RegistryCode, Repository};
use paddock_core::{AppRef, ErrorId};
use paddock_store::App;

use super::Images;
use super::error::{RegistryError, RegistryResult};
use crate::Actor;
use crate::kernel::access::Permitted;

/// What somebody wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    pub const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// The word of the scopes of tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// That a token of the registry's is good for these actions on one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `APP/TYPE`, as the client wrote it.
    pub name: String,
    pub actions: Vec<Action>,
}

/// Somebody who asks the registry for something.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) actor: Actor,
    /// What the token is good for; all that the account may, where it is one of the account's own.
    pub(super) grants: Option<Vec<Grant>>,
}

impl Caller {
    /// An account, with all that it may.
    #[must_use]
    pub fn whole(actor: Actor) -> Self {
        Self { actor, grants: None }
    }

    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether it came with a token of the registry's own.
    #[must_use]
    pub fn has_grants(&self) -> bool {
        self.grants.is_some()
    }
}

/// A repository as a client names it: `APP/TYPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName {
    app: String,
    repository: Repository,
}

impl RepositoryName {
    /// # Errors
    /// `NAME_INVALID`.
    pub fn new(app: String, repository: &str) -> RegistryResult<Self> {
        let invalid = |text| RegistryError::new(RegistryCode::NameInvalid, text);
        if app.is_empty() || app.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid(format!("{app:?} is no name of an app: they are in lower case.")));
        }
        let repository = repository.parse::<Repository>();
        Ok(Self { app, repository: repository.map_err(|error| invalid(sentence(&error.to_string())))? })
    }

    pub(super) fn app_name(&self) -> &str {
        &self.app
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// # Errors
    /// `NAME_INVALID`, also for one of fewer or more than two parts.
    pub fn parse(name: &str) -> RegistryResult<Self> {
        let parts = name.split_once('/').filter(|(_, rest)| !rest.contains('/'));
        let (app, repository) = parts.ok_or_else(|| {
            let text =
                format!("{name:?} is no repository of this registry: they are APP/TYPE, such as my-app/web.");
            RegistryError::new(RegistryCode::NameInvalid, text)
        })?;
        Self::new(app.to_owned(), repository)
    }
}

impl std::fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.repository)
    }
}

/// A text as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// A repository that whoever asks may use.
pub(super) struct Opened {
    pub(super) app: Permitted<App>,
    pub(super) repository: Repository,
}

impl Images {
    /// The repository that is meant, if the caller may do that with it.
    pub(super) async fn open(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        action: Action,
    ) -> RegistryResult<Opened> {
        let is_granted = |grants: &Vec<Grant>| {
            grants.iter().any(|grant| grant.name == name.to_string() && grant.actions.contains(&action))
        };
        if !caller.grants.as_ref().is_none_or(is_granted) {
            let text = format!("The token is not good for this: ask for one to {} {name}.", action.as_str());
            return Err(RegistryError::new(RegistryCode::Unauthorized, text));
        }
        let app = AppRef::from(name.app.clone());
        match self.kernel.visible_app(&caller.actor, &app).await {
            Ok(app) => Ok(Opened { app, repository: name.repository.clone() }),
            Err(error) if error.id == ErrorId::NotFound => Err(match action {
                Action::Pull => RegistryError::new(
                    RegistryCode::NameUnknown,
                    format!("There is no app {} that you work on.", name.app),
                ),
                Action::Push | Action::Delete => RegistryError::new(
                    RegistryCode::Denied,
                    format!("You may not push to {name}: there is no app {} that you work on.", name.app),
                ),
            }),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_app_and_a_process_type() {
        assert_eq!(RepositoryName::parse("my-app/web").unwrap().to_string(), "my-app/web");
        for bad in ["my-app", "my-app/", "/web", "my-app/web/x", "My-app/web", "my-app/Web", ""] {
            assert_eq!(RepositoryName::parse(bad).unwrap_err().code, RegistryCode::NameInvalid, "{bad}");
        }
    }
}
