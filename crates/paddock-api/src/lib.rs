//! The Platform API over HTTP, on a Unix socket behind the router: JSON calls, git, log and output streams, run
//! sessions.
//!
//! * [`serve`] accepts connections from the router, each beginning with a PROXY v2 header that says who the client is;
//! * [`serve_rendezvous`] accepts raw connections of `heroku run` clients;
//! * `routes`: one file per noun, handlers of about five lines: extract, one use case, convert;
//! * `layers`: what every request passes, in an order that is explained there;
//! * `problem`: the one place where an error becomes an answer.
//!
//! Nothing here knows the store, the runtime or a builder: only use cases of `paddock-control`.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

mod accept;
mod answer;
mod asked_more;
mod authentication;
mod body;
mod client;
mod conditional;
mod cors;
mod json;
mod layers;
mod not_built;
mod once;
mod problem;
mod rendezvous;
mod routes;
mod server;

use std::sync::Arc;

use paddock_control::Control;
use tokio_util::sync::CancellationToken;

pub use not_built::NOT_BUILT;
pub use rendezvous::serve_rendezvous;
pub use routes::{Access, EMPTY_LISTS, Route, routes};
pub use server::serve;

pub struct Api {
    pub control: Arc<Control>,
    /// The server is ending: streams without an end of their own end now, so that nobody waits for them.
    stopping: CancellationToken,
}

impl Api {
    /// An API in front of `control`.
    #[must_use]
    pub fn new(control: Arc<Control>) -> Self {
        Self { control, stopping: CancellationToken::new() }
    }
}
