//! The server's only HTTP client: for addresses that a tenant names, with the outbound rule that it keeps
//! (ARCHITECTURE.md, "Invariants"), and for the operator's own bucket ([`s3`]), to which the rule does not apply.
//!
//! * a name is resolved once, and the connection goes to an address that was checked, never to the name again;
//! * this machine and networks that are nobody's business from outside are refused, unless the operator listed them
//!   ([`Network`], `--allow-egress`);
//! * each redirect is a new address and checked as the first one; there are five at most;
//! * time and bytes have limits, a slow drip and an endless body end;
//! * credentials in an address go to its own origin and nowhere else, and into no message.
//!
//! What a server sends is passed on as it comes: nothing is decompressed here.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

mod address;
mod connection;
mod error;
mod fetch;
mod roots;
pub mod s3;
mod target;

pub use address::{InvalidNetwork, Network};
pub use error::OutboundError;
pub use fetch::{Asked, FetchLimits, Fetched, Outbound};
pub use roots::{Roots, RootsError};
pub use target::{shown, with_query};
