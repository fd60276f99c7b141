//! Collaborators: who but the owner may work on an app.

use paddock_core::{AccountId, AppId, CollaboratorId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};

/// What a collaborator is to the app. The owner is stored with the app and may have a row here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CollaboratorRole {
    Owner,
    /// Somebody the owner invited.
    Collaborator,
}

impl CollaboratorRole {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Collaborator => "collaborator",
        }
    }

    /// The role with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Owner, Self::Collaborator].into_iter().find(|role| role.as_str() == text)
    }
}

word_columns!(CollaboratorRole = CollaboratorRole::parse);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collaborator {
    /// The id of the collaboration.
    pub id: CollaboratorId,
    pub app_id: AppId,
    pub account_id: AccountId,
    pub role: CollaboratorRole,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Collaborator { id, app_id, account_id, role, created_at, updated_at } optional {});

statements! {
    OF_APP = "SELECT * FROM collaborators WHERE app_id = $1 ORDER BY created_at, id";
    ONE = "SELECT * FROM collaborators WHERE app_id = $1 AND account_id = $2";
    CREATE = "INSERT INTO collaborators (id, app_id, account_id, role, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $5)";
    DELETE = "DELETE FROM collaborators WHERE app_id = $1 AND account_id = $2";
}

reads! {
    /// The collaborators of an app, oldest first.
    collaborators(app_id: AppId) -> all Collaborator: OF_APP [app_id];
    /// An account's collaboration on an app.
    collaborator(app_id: AppId, account_id: AccountId) -> one Collaborator: ONE [app_id, account_id];
}

impl Tx {
    /// Makes an account a collaborator.
    ///
    /// # Errors
    /// `AlreadyCollaborator`.
    pub async fn create_collaborator(
        &mut self,
        id: CollaboratorId,
        app_id: AppId,
        account_id: AccountId,
        role: CollaboratorRole,
    ) -> Result<()> {
        match self.execute_unique(CREATE, values![id, app_id, account_id, role, self.now]).await? {
            true => Ok(()),
            false => Err(StoreError::AlreadyCollaborator(app_id)),
        }
    }

    /// Ends a collaboration. Whether there was one.
    pub async fn delete_collaborator(&mut self, app_id: AppId, account_id: AccountId) -> Result<bool> {
        Ok(self.execute(DELETE, values![app_id, account_id]).await? > 0)
    }
}
