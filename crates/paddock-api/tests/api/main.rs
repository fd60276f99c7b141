//! The API through real HTTP over its Unix socket, on a store of its own and a runtime in memory: what is so on both
//! engines once on each of them, then what only PostgreSQL can do.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "suite/mod.rs"]
mod postgres;
mod restart;
mod several_servers;
#[path = "suite/mod.rs"]
#[expect(clippy::duplicate_mod, reason = "the same tests on the other engine")]
mod sqlite;

use postgres::support;
