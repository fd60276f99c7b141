//! What tests of several crates share. A dev-dependency only.

pub mod postgres;
pub mod process;
pub mod schema;
