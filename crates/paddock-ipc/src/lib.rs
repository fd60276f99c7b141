//! Messages between our own processes, and the spool they leave records in.
//!
//! * [`admin`]: what `paddockd env` and `paddockd stop` ask of a running server.
//! * [`frame`]: length-prefixed JSON messages over a Unix socket, with descriptors beside them.
//! * [`spool`]: output records on disk, written by shims and the router, read and acknowledged by the control plane.
//! * [`routes`]: the route table and the other messages between `serve` and the router.
//!
//! Versioned by [`VERSION`]; one version is spoken until a second exists.

pub mod admin;
pub mod frame;
pub mod routes;
pub mod spool;

/// The version of every message of this crate.
pub const VERSION: u32 = 1;
