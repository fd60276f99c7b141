//! The services on real servers, each started from the service's own plan of it.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]

mod bench;
mod client;
mod contract;
mod credentials;
mod interrupted;
mod isolation;
mod proxy;
mod restriction;
mod server;
mod statements;
