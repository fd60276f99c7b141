//! Collaborators of an app.

use serde::{Deserialize, Serialize};

use crate::named::{Identity, NamedRef};
use crate::time::Time;

/// A collaborator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collaborator {
    /// The app.
    pub app: NamedRef,
    /// When it was made.
    pub created_at: Time,
    /// UUID.
    pub id: String,
    /// What it may do on the app.
    pub permissions: Vec<Permission>,
    /// `owner` or `collaborator`.
    pub role: Option<String>,
    /// When it was changed.
    pub updated_at: Time,
    /// Who.
    pub user: User,
}

/// Something that may be done on an app, by the platform's name of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permission {
    /// `view`, `deploy`, `operate` or `manage`.
    pub name: String,
    /// What it allows.
    pub description: String,
}

/// The account of a collaborator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// E-mail address.
    pub email: String,
    /// Whether an identity provider owns the account.
    pub federated: bool,
    /// UUID.
    pub id: String,
}

/// Body of `POST /apps/{app}/collaborators`. `silent` is always so: there is no mail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    /// Address or id of the account.
    pub user: Identity,
}
