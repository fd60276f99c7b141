//! A server that holds add-ons: what it takes to run one, and how the platform gets at it.

use std::net::{IpAddr, SocketAddr};

use paddock_runtime::Limits;

use crate::{Placement, Plan, Secret};

/// What is known before a server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOrder {
    /// The major version, as in [`crate::Order`].
    pub version: String,
    /// The plan that has it to itself; `None` for one that is shared.
    pub plan: Option<&'static Plan>,
    /// Its memory, scaled as the installation says.
    pub memory_bytes: u64,
    /// What the machine has of CPU, in thousandths of a core: no plan gets more.
    pub machine_millicores: u32,
    /// Where the platform's own connections come from. The superuser is let in from there alone.
    pub platform: IpAddr,
    /// The superuser's password.
    pub password: Secret,
    /// What the server shows to clients.
    pub certificate: Certificate,
}

impl ServerOrder {
    /// Whether it is shared.
    #[must_use]
    pub const fn placement(&self) -> Placement {
        match self.plan {
            Some(_) => Placement::Own,
            None => Placement::Shared,
        }
    }
}

/// A certificate for the server's address, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, in PEM.
    pub chain: String,
    /// The key, in PEM.
    pub key: Secret,
}

/// What to run: no path and no id of a host. The container's user is 1000, its layers are those of the `host` stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPlan {
    /// Program and arguments; no secret.
    pub command: Vec<String>,
    /// Files to be read inside; no secret.
    pub files: Vec<File>,
    /// The whole environment. Values are secret: they never lie on a disk.
    pub env: Vec<(String, Vec<u8>)>,
    /// Limits of the container.
    pub limits: Limits,
    /// Where the lasting volume is mounted, to be written.
    pub data: &'static str,
    /// What it listens on, at its address.
    pub port: u16,
}

/// A file inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// How the platform connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAccess {
    /// Where it listens.
    pub address: SocketAddr,
    /// The superuser's password.
    pub password: Secret,
    /// Who signed its certificate, in PEM.
    pub authority: String,
}
