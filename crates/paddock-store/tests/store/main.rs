//! The store through its public face, on a real database file.

#![expect(clippy::unwrap_used, reason = "what prepares a test fails it")]

mod account;
mod app;
mod build;
mod concurrency;
mod dyno;
mod fixture;
mod job;
mod open;
mod record;
mod release;
mod seal;
