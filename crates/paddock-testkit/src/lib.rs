//! What tests of several crates share. No program is built with it.

pub mod place;
pub mod postgres;
pub mod process;
pub mod schema;
