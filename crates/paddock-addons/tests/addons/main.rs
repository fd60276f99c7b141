//! The services on real servers, each started from the service's own plan of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![expect(clippy::print_stderr, reason = "what a server said is read when its test fails")]
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]

mod bench;
mod client;
mod contract;
mod credentials;
mod diagnose;
mod filling;
mod interrupted;
mod isolation;
mod proxy;
mod restriction;
mod server;
mod statements;
