//! Collaborators: who works on an app.

use paddock_core::event::Event;
use paddock_core::{AccountId, AppId, AppName, AppRef, CollaboratorId, UnixMicros};
use paddock_store::{App, CollaboratorRole};
use uuid::Uuid;

use crate::kernel::access::{Permission, Permitted};
use crate::kernel::emails::Emails;
use crate::people::People;
use crate::{Actor, Error, Result};

/// A collaborator of an app; the owner is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collaborator {
    /// The id of the collaboration.
    pub id: CollaboratorId,
    pub app_id: AppId,
    pub app_name: AppName,
    pub account_id: AccountId,
    /// The collaborator's e-mail address.
    pub email: String,
    /// `owner` or `collaborator`.
    pub role: &'static str,
    /// What it may do on the app: names of the platform's permissions, and what each allows.
    pub permissions: &'static [(&'static str, &'static str)],
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

impl People {
    /// The collaborators of an app, the owner among them.
    pub async fn list_collaborators(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Collaborator>> {
        self.collaborators_of(&self.kernel.visible_app(actor, app).await?).await
    }

    async fn collaborators_of(&self, app: &Permitted<App>) -> Result<Vec<Collaborator>> {
        let rows = self.kernel.store.collaborators(app.id).await?;
        let mut emails = Emails::new(&self.kernel);
        let mut collaborators = Vec::with_capacity(rows.len());
        for row in rows {
            collaborators.push(Collaborator {
                id: row.id,
                app_id: row.app_id,
                app_name: app.name.clone(),
                account_id: row.account_id,
                email: emails.of(row.account_id).await?,
                role: row.role.as_str(),
                permissions: permissions(row.role),
                created_at: row.created_at,
                updated_at: row.updated_at,
            });
        }
        Ok(collaborators)
    }

    /// One collaborator, by id or address.
    pub async fn collaborator(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<Collaborator> {
        one_of(self.list_collaborators(actor, app).await?, identity)
    }

    /// Lets another account of this server work on an app; nobody is sent mail. Only the owner may.
    ///
    /// # Errors
    /// `not_found`; `forbidden`; `invalid_params` for an account that is not there or works on it already.
    pub async fn create_collaborator(&self, actor: &Actor, app: &AppRef, user: &str) -> Result<Collaborator> {
        let app = self.kernel.permitted_app(actor, app, Permission::Manage).await?;
        let account = match user.parse::<AccountId>() {
            Ok(id) => self.kernel.store.account(id).await?,
            Err(_) => self.kernel.store.account_by_email(user).await?,
        };
        let account = account.filter(|account| account.deleted_at.is_none()).ok_or_else(|| {
            Error::invalid(format!(
                "{user} has no account on this server. Its operator makes one with: paddockd account create {user}"
            ))
        })?;
        let id = CollaboratorId::from_uuid(Uuid::now_v7());
        let role = CollaboratorRole::Collaborator;
        let mut tx = self.kernel.change_app(app.id, "add a collaborator").await?;
        tx.create_collaborator(id, app.id, account.id, role).await?;
        tx.say(app.id, format!("Add {} as collaborator by user {}", account.email, actor.email));
        tx.commit(
            "collaborator.added",
            Event::CollaboratorCreated { app: app.id, collaborator: account.id },
            actor,
        )
        .await?;
        one_of(self.collaborators_of(&app).await?, &id.to_string())
    }

    /// Ends somebody's work on an app: the owner ends anybody's, everybody their own.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for another's as a collaborator; `invalid_params` for the owner.
    pub async fn delete_collaborator(
        &self,
        actor: &Actor,
        app: &AppRef,
        identity: &str,
    ) -> Result<Collaborator> {
        let collaborator = self.collaborator(actor, app, identity).await?;
        if collaborator.role == CollaboratorRole::Owner.as_str() {
            return Err(Error::invalid("The owner of an app cannot be removed from it."));
        }
        if collaborator.account_id != actor.account_id {
            self.kernel.permitted_app(actor, app, Permission::Manage).await?;
        }
        let app = collaborator.app_id;
        let mut tx = self.kernel.change_app(app, "remove a collaborator").await?;
        tx.delete_collaborator(app, collaborator.account_id).await?;
        tx.say(app, format!("Remove {} as collaborator by user {}", collaborator.email, actor.email));
        tx.commit(
            "collaborator.removed",
            Event::CollaboratorDestroyed { app, collaborator: collaborator.account_id },
            actor,
        )
        .await?;
        Ok(collaborator)
    }
}

fn one_of(collaborators: Vec<Collaborator>, identity: &str) -> Result<Collaborator> {
    let named = |one: &Collaborator| {
        one.email.eq_ignore_ascii_case(identity)
            || one.id.to_string() == identity
            || one.account_id.to_string() == identity
    };
    collaborators.into_iter().find(named).ok_or_else(|| Error::not_found("collaborator"))
}

/// What the owner alone may do comes first.
const PERMISSIONS: [(&str, &str); 4] = [
    ("manage", "Can rename and destroy the app and choose who works on it."),
    ("deploy", "Can push code and change config vars and buildpacks."),
    ("operate", "Can scale and restart dynos, roll back, and switch maintenance mode and features."),
    ("view", "Can see the app, its releases, dynos and log."),
];

fn permissions(role: CollaboratorRole) -> &'static [(&'static str, &'static str)] {
    match role {
        CollaboratorRole::Owner => &PERMISSIONS,
        CollaboratorRole::Collaborator => &PERMISSIONS[1..],
    }
}
