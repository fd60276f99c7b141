//! The data API's Postgres: what `pg:*` commands ask the data host. Its keys have question marks where Heroku's have.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Answer of `GET /client/v11/databases/{database}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Database {
    pub addon_id: String,
    pub name: String,
    pub heroku_resource_id: String,
    pub created_at: Time,
    pub formation: Formation,
    pub metaas_source: String,
    pub metaas_server_source: String,
    pub plan: String,
    pub port: u16,
    pub database_name: Option<String>,
    pub database_user: Option<String>,
    pub database_password: String,
    /// Always null: no followers yet.
    pub target_transaction: Option<i64>,
    pub available_for_ingress: bool,
    pub resource_url: Option<String>,
    #[serde(rename = "waiting?")]
    pub waiting: bool,
    /// How many credentials there are.
    pub credentials: usize,
    /// Always null: no followers yet.
    pub leader: Option<String>,
    /// Always null: no followers yet.
    pub following: Option<String>,
    /// What is printed, in this order.
    pub info: Vec<Row>,
    pub num_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Formation {
    pub id: String,
    /// The add-on that is written to.
    pub primary: String,
}

/// One line of `pg:info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub name: String,
    pub values: Vec<String>,
    /// Whether the values are addresses of databases, to be shown as names of attachments.
    pub resolve_db_name: bool,
}

/// Answer of `GET /client/v11/databases/{database}/wait_status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitStatus {
    #[serde(rename = "waiting?")]
    pub waiting: bool,
    #[serde(rename = "error?")]
    pub error: bool,
    pub message: String,
}

/// What was done, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    pub message: String,
}

/// Body of `PUT /client/v11/databases/{database}/reset`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Reset {
    /// To be there again: `hstore`, or `schema.postgis`.
    pub extensions: Option<Vec<String>>,
}

/// Body of `POST /postgres/v0/databases/{database}/credentials`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CreateCredential {
    pub name: String,
}

/// Body of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Rotate {
    /// Whether the old login ends at once.
    pub forced: Option<bool>,
}

/// A credential of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credential {
    pub uuid: String,
    pub name: String,
    pub state: String,
    pub database: String,
    pub host: String,
    pub port: u16,
    pub credentials: Vec<Login>,
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Login {
    pub user: String,
    pub password: String,
    /// `active` for the one to be used.
    pub state: String,
}
