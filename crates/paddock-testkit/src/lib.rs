//! What tests of several crates share. No program is built with it.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]

pub mod place;
pub mod port;
pub mod postgres;
pub mod process;
pub mod schema;
