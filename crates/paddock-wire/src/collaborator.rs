//! Collaborators of an app.

use serde::{Deserialize, Serialize};

use crate::named::{Identity, NamedRef};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collaborator {
    pub app: NamedRef,
    pub created_at: Time,
    pub id: String,
    /// What it may do on the app.
    pub permissions: Vec<Permission>,
    /// `owner` or `collaborator`.
    pub role: Option<String>,
    pub updated_at: Time,
    pub user: User,
}

/// Something that may be done on an app, by the platform's name of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permission {
    /// `view`, `deploy`, `operate` or `manage`.
    pub name: String,
    pub description: String,
}

/// The account of a collaborator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    pub email: String,
    /// Whether an identity provider owns the account.
    pub federated: bool,
    pub id: String,
}

/// Body of `POST /apps/{app}/collaborators`. `silent` is always so: there is no mail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    /// Address or id of the account.
    pub user: Identity,
}
