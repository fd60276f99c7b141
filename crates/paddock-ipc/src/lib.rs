//! Messages between our own processes, and the spool they leave records in.
//!
//! * [`admin`]: what `paddockd env` and `paddockd stop` ask of a running server.
//! * [`frame`]: length-prefixed JSON messages over a Unix socket, with descriptors beside them.
//! * [`proxy_header`]: what the router says of a connection that it passes to `serve`.
//! * [`spool`]: output records on disk, written by shims and the router, read and acknowledged by the control plane.
//! * [`routes`]: the route table and the other messages between `serve` and the router.
//!
//! Versioned by [`VERSION`]. The last two versions are spoken: after every upgrade a router is older than the server.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

pub mod admin;
pub mod frame;
pub mod proxy_header;
pub mod routes;
pub mod spool;

/// The version of every message of this crate.
///
/// 2: routers have spools of their own names and can retire. 3: routes are sent app by app.
pub const VERSION: u32 = 3;

/// The versions that a peer may speak.
pub const SPOKEN: std::ops::RangeInclusive<u32> = VERSION - 1..=VERSION;
