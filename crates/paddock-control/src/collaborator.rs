//! Collaborators: who works on an app.

use paddock_core::{AccountId, AppId, AppName, CollaboratorId, UnixMicros};

use crate::access::{Emails, failed};
use crate::{Actor, Control, Error, Result};

/// A collaborator of an app; the owner is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collaborator {
    /// The id of the collaboration.
    pub id: CollaboratorId,
    /// On which app.
    pub app_id: AppId,
    /// The app's name.
    pub app_name: AppName,
    /// Who.
    pub account_id: AccountId,
    /// The address of who.
    pub email: String,
    /// `owner` or `collaborator`.
    pub role: &'static str,
    /// Since when.
    pub created_at: UnixMicros,
    /// When it was changed.
    pub updated_at: UnixMicros,
}

impl Control {
    /// The collaborators of an app, the owner among them.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn list_collaborators(&self, actor: &Actor, app: &str) -> Result<Vec<Collaborator>> {
        let app = self.visible_app(actor, app).await?;
        let rows = self.store.collaborators(app.id).await.map_err(failed("list collaborators"))?;
        let mut emails = Emails::new(self);
        let mut collaborators = Vec::with_capacity(rows.len());
        for row in rows {
            collaborators.push(Collaborator {
                id: row.id,
                app_id: row.app_id,
                app_name: app.name.clone(),
                account_id: row.account_id,
                email: emails.of(row.account_id).await?,
                role: row.role.as_str(),
                created_at: row.created_at,
                updated_at: row.updated_at,
            });
        }
        Ok(collaborators)
    }

    /// One collaborator, by id or address.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn collaborator(&self, actor: &Actor, app: &str, identity: &str) -> Result<Collaborator> {
        let collaborators = self.list_collaborators(actor, app).await?;
        let named = |one: &Collaborator| {
            one.email.eq_ignore_ascii_case(identity)
                || one.id.to_string() == identity
                || one.account_id.to_string() == identity
        };
        collaborators.into_iter().find(named).ok_or_else(|| Error::not_found("collaborator"))
    }
}
