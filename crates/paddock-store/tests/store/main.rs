//! The store through its public face, on real databases: what both engines do once on each of them, then what only one
//! of them does.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, reason = "what prepares a test fails it")]

mod database_file;
#[path = "suite/mod.rs"]
mod postgres;
mod postgres_login;
mod postgres_server;
#[path = "suite/mod.rs"]
#[expect(clippy::duplicate_mod, reason = "the same tests on the other engine")]
mod sqlite;
