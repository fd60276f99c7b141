//! What a router is told at its start.

use std::io;
use std::path::PathBuf;

use uuid::Uuid;

use crate::limits::Limits;

/// Where a router lives and what it talks to.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// Its only folder (`DIR/router`), shared with a router that retires: `routes.json` (the last whole table),
    /// `routes.journal` (what changed since), `spools/` (request records, a folder for each router), `tls/` (`cert.pem`
    /// and `key.pem`, written by `serve`; those of further hosts are `HOST.cert.pem` and `HOST.key.pem`), and
    /// `proxy-form/` (`cert.pem` and `key.pem` for the names of the proxy form).
    pub folder: PathBuf,
    /// The name of its own folder in `spools/`; another for each router, so that none meets another's records.
    pub spool: Uuid,
    /// `serve`'s socket for requests to the platform (`DIR/run/serve.sock`).
    pub serve_socket: PathBuf,
    /// `serve`'s socket for rendezvous connections (`DIR/run/rendezvous.sock`).
    pub rendezvous_socket: PathBuf,
    /// The instance (six letters) it belongs to.
    pub instance: String,
    /// Which program it runs, for [`paddock_ipc::routes::FromRouter::Hello`]: another one replaces it.
    pub program: String,
    pub limits: Limits,
}

/// Why a router could not begin.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct RouterError {
    /// What was tried, and on what.
    pub doing: String,
    #[source]
    pub source: io::Error,
}

impl RouterError {
    pub(crate) fn new(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { doing: doing.into(), source: source.into() }
    }
}
