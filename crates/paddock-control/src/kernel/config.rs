//! What the control plane is told when it starts. No defaults: the binary chooses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use paddock_core::build::BuildDisk;
use paddock_core::buildpack::BuildpackUrls;
use paddock_core::dyno::DynoDisk;
use paddock_core::stack::{Stack, StackVersion};

/// All build caches together; the oldest go first. Source: `docs/contract/buildpacks.md`, section 12.
pub(crate) const BUILD_CACHE_BYTES_MAX: u64 = 20 * 1024 * 1024 * 1024;

/// What a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Thousandths of a core.
    pub millicores: u32,
    pub memory_bytes: u64,
}

#[derive(Debug, Clone)]
pub struct ControlConfig {
    pub data_dir: PathBuf,
    /// The platform's domain: apps answer at `NAME.DOMAIN`.
    pub domain: String,
    /// The public address that the router listens on.
    pub listen: SocketAddr,
    /// The program that this server is, by version and digest: the built-in buildpacks are a part of it.
    pub program: String,
    /// The version of the `host` stack that builds run on now.
    pub host_stack_version: String,
    /// Resolvers that dynos' DNS questions are forwarded to.
    pub resolvers: Vec<SocketAddr>,
    /// Proxies in front of the router, whose word on clients is believed.
    pub trusted_proxies: Vec<paddock_ipc::routes::Network>,
    /// Most builds at a time, of different apps.
    pub concurrent_builds: usize,
    /// How much a build may write to its disk.
    pub build_disk: BuildDisk,
    /// How many bytes of layers are kept only to be used again.
    pub layer_cache_bytes: u64,
    /// How much dynos may write to their disks.
    pub dyno_disk: DynoDisk,
    /// How long a new web dyno has to have been up before those of the release before end.
    pub dyno_trial: Duration,
    /// How much of the memory that their plans name data servers get, in hundredths.
    pub data_memory_percent: u8,
    /// How long a database may hold more than its plan before only reading and deleting is left.
    pub data_storage_grace: Duration,
    /// The machine that they run on.
    pub machine: Machine,
    /// How many bytes the registry of an app may hold.
    pub registry_bytes: u64,
    /// Which buildpack URLs are accepted from tenants.
    pub buildpack_urls: BuildpackUrls,
    /// For how long a buildpack that ran is taken again without a look for a newer one.
    pub buildpack_age: Duration,
}

impl ControlConfig {
    /// The version of a stack that builds run on now.
    #[must_use]
    pub fn present(&self, stack: &Stack) -> StackVersion {
        let version = if *stack == Stack::HOST { self.host_stack_version.clone() } else { String::new() };
        StackVersion { stack: stack.clone(), version }
    }

    /// The absolute URL of an app's default domain.
    #[must_use]
    pub fn web_url(&self, app: &paddock_core::AppName) -> String {
        match self.listen.port() {
            80 => format!("http://{app}.{}/", self.domain),
            port => format!("http://{app}.{}:{port}/", self.domain),
        }
    }

    /// Whether `host` or `host:port`, as it stands in an address, is this server itself.
    #[must_use]
    pub fn is_platform(&self, authority: &str) -> bool {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (authority, Some(self.listen.port())),
        };
        let host = host.to_ascii_lowercase();
        let below = host
            .strip_suffix(self.domain.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        port == Some(self.listen.port())
            && (below || matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]"))
    }

    /// The host (with port) of git remotes and of URLs that this server hands out to clients of the loopback form.
    #[must_use]
    pub fn git_host(&self) -> String {
        format!("localhost:{}", self.listen.port())
    }
}
