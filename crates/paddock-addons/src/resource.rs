//! What was ordered and what it is called on its server. Control makes names and secrets before the first step and keeps
//! them, so that every step can be repeated with the same.

use crate::{Plan, Secret};

/// What `addons:create` asks for, once it was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The plan.
    pub plan: &'static Plan,
    /// The major version: `15`.
    pub version: String,
}

/// What is in use now, of what plans limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Bytes stored.
    pub storage_bytes: u64,
    /// Tables.
    pub tables: u64,
}

/// One add-on on its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its plan: what it may use.
    pub plan: &'static Plan,
    /// The name of its database.
    pub database: String,
    /// The credential that owns what is in it, `default`.
    pub credential: Credential,
}

/// Somebody on a server: a role that owns, and the logins that act as it. Logins come and go, the role stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The role. Nobody logs in as it.
    pub role: String,
    /// Who logs in: one, or two while one takes over from the other.
    pub logins: Vec<Login>,
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}
