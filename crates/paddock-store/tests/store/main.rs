//! The store through its public face, on a real database: a file of SQLite here, PostgreSQL in `store_postgres.rs`.

#![expect(clippy::unwrap_used, reason = "what prepares a test fails it")]

mod account;
mod app;
mod build;
mod bulk;
mod concurrency;
mod dyno;
pub(crate) mod fixture;
mod job;
mod keys;
mod open;
mod record;
mod release;
mod seal;
mod server;
