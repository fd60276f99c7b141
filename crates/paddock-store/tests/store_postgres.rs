//! The tests of `store/`, each on a database of PostgreSQL.

#[path = "store/main.rs"]
mod store;

use store::fixture;
