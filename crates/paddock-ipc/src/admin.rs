//! The administrator's socket: what `paddockd env` and `paddockd stop` ask of a running `paddockd serve`.
//!
//! One request and one answer for each connection. The server answers only a peer whose uid owns the data directory
//! (or root); the kernel tells the uid, the peer cannot.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::frame;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum AdminRequest {
    /// What a client needs to reach this server; makes the command-line authorization when there is none.
    Environment {
        /// For the proxy form, which is set up when there is none.
        #[serde(default)]
        proxy: Option<ProxyClient>,
    },
    /// End the server; with `dynos`, the dynos and the router as well.
    Stop {
        /// Whether dynos and the router end too.
        dynos: bool,
    },
}

/// A client of the proxy form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyClient {
    /// The address by which it reaches this server; none for the one that fits how the server listens.
    pub address: Option<String>,
    /// The folder on its machine that the certificates will be in; none for ours.
    pub certificates: Option<PathBuf>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum AdminAnswer {
    /// Variables for a shell, in order.
    Environment {
        /// Name and value.
        variables: Vec<(String, String)>,
    },
    /// The server is ending; the connection closes when it has.
    Stopping {
        /// Its process id.
        pid: u32,
    },
    /// It was refused, or failed.
    Refused {
        /// A sentence for the operator.
        reason: String,
    },
}

/// Asks the server at `path`; blocks up to `timeout` for its answer. The stream stays open for the caller to wait on.
///
/// # Errors
/// When nobody listens or the answer does not come in time.
pub fn ask(path: &Path, request: &AdminRequest, timeout: Duration) -> io::Result<(AdminAnswer, UnixStream)> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    frame::send(stream.as_fd(), request, &[])?;
    let (answer, _) = frame::receive(stream.as_fd())?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((answer, stream))
}
