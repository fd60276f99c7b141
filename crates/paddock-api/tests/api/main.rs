//! The API through real HTTP over its Unix socket, on a store of its own (SQLite here, PostgreSQL in
//! `api_postgres.rs`) and a runtime in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod accounts;
mod apps;
mod bad_input;
mod collaborators;
mod config_vars;
mod conventions;
mod domains;
mod dynos;
mod favorites;
mod formation;
mod git;
mod keys;
mod logs;
mod metrics;
mod once;
mod releases;
mod rendezvous;
mod schema;
mod shutdown;
mod small_nouns;
mod sources_and_builds;
pub(crate) mod support;
mod walkers;
