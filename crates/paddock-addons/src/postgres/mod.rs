//! Heroku Postgres: databases of PostgreSQL servers that run in containers.
//!
//! What the port asks for is in this file; what only this service has are further methods of [`Postgres`], each noun in its
//! file.

mod names;
mod options;
mod plans;
mod scram;
mod size;

use std::collections::BTreeMap;

/// The service, with the PostgreSQL versions that containers of the `host` stack have.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// By major version, the folder of `initdb` and `postgres` inside a container.
    programs: BTreeMap<u16, String>,
}

impl Postgres {
    /// The service where these versions are, each with the folder of its programs inside a container.
    pub fn new(programs: impl IntoIterator<Item = (u16, String)>) -> Self {
        Self { programs: programs.into_iter().collect() }
    }
}
