//! The HTTP data plane: `paddockd router`. It ends TLS, finds the app of a host, chooses a dyno, passes the request
//! on, and leaves one record of it in a spool.
//!
//! It lives on when `serve` is killed: its listening sockets, its last route table and its records are its own.
//! Invariants: it reads and writes no folder but its own, knows nothing of the database, keeps no request waiting
//! for a disk, and trusts no header and no peer address but those of the proxies that the operator named.
//!
//! * [`RouterStart`], [`main`]: how `serve` starts the process and what it gives up before it begins.
//! * [`run`]: the router inside a runtime, given its sockets.

mod accept;
mod app;
mod choice;
mod client;
mod clients;
mod clock;
mod config;
mod connection;
mod control;
mod dns;
mod dyno;
mod exchange;
mod failure;
mod forwarded;
mod header;
mod host;
mod limits;
mod line;
mod log_file;
mod page;
mod platform;
mod privileges;
mod proxy_form;
mod proxy_header;
mod reader;
mod record;
mod relay;
mod rendezvous;
mod router;
mod run;
mod search;
mod send;
mod session;
mod socket;
mod start;
mod stop;
mod stream;
mod table;
mod tls;
mod trusted_proxy;
mod tunnel;
mod turn;

pub use config::{RouterConfig, RouterError};
pub use limits::Limits;
pub use privileges::RunAs;
pub use record::{TAG_LOST, TAG_REQUEST};
pub use run::{run, run_until};
pub use start::{RouterStart, main};
pub use stop::Stop;
