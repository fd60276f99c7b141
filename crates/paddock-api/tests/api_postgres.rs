//! The tests of `api/`, each on a database of PostgreSQL, and what only such a database can do.

#[path = "api/main.rs"]
mod api;
#[path = "postgres/restart.rs"]
mod restart;
#[path = "postgres/several_servers.rs"]
mod several_servers;

use api::support;
