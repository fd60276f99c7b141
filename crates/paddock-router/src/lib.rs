//! The HTTP data plane: `paddockd router`. It ends TLS, finds the app of a host, chooses a dyno, passes the request
//! on, and leaves one record of it in a spool.
//!
//! It lives on when `serve` is killed: its listening sockets, its last route table and its records are its own.
//! Invariants: it reads and writes no folder but its own, knows nothing of the database, keeps no request waiting
//! for a disk, and trusts no header and no peer address but those of the proxies that the operator named.
//!
//! * [`RouterStart`], [`main`]: how `serve` starts the process and what it gives up before it begins.
//! * [`run`]: the router inside a runtime, given its sockets.
//!
//! Folders are the stages of a request, from the wire inwards, and a file imports from folders below its own only:
//!
//! * `process`, `run`: how it begins and ends; `control`, `dns`: what it does besides requests.
//! * `client`: the door. First bytes, TLS, HTTP, and who answers.
//! * `platform`, `app`: the answers of `serve` and of dynos.
//! * `exchange`: one request and what is said to it.
//! * `connection`: what a client's connection holds, and what all of them share.
//! * `routes`, `dyno`: what is known of apps. `record`: what is left of a request. `relay`: bytes on their way.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

mod app;
mod client;
mod clock;
mod config;
mod connection;
mod control;
mod dns;
mod dyno;
mod exchange;
mod limits;
mod platform;
mod process;
mod record;
mod relay;
mod routes;
mod run;

pub use config::{RouterConfig, RouterError};
pub use connection::stop::Stop;
pub use limits::Limits;
pub use process::privileges::RunAs;
pub use process::start::{RouterStart, main};
pub use record::{TAG_LOST, TAG_REQUEST};
pub use run::{run, run_until};
