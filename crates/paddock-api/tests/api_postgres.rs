//! The tests of `api/`, each on a database of PostgreSQL.

#[path = "api/main.rs"]
mod api;

use api::support;
