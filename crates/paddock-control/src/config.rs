//! What the control plane is told when it starts. No defaults: the binary chooses.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Settings of the control plane.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The platform's domain: apps answer at `NAME.DOMAIN`.
    pub domain: String,
    /// The public address that the router listens on.
    pub listen: SocketAddr,
    /// Variables given to every build: proxies, CA files, package indexes (`buildpacks.md`, section 4).
    pub site_env: Vec<(String, String)>,
    /// Resolvers that dynos' DNS questions are forwarded to.
    pub resolvers: Vec<SocketAddr>,
    /// Most builds at a time, of different apps.
    pub concurrent_builds: usize,
    /// Whether buildpack URLs other than https are accepted from tenants (for tests and closed networks).
    pub allow_insecure_buildpack_urls: bool,
}

impl ControlConfig {
    /// The absolute URL of an app's default domain.
    #[must_use]
    pub fn web_url(&self, app: &paddock_core::AppName) -> String {
        match self.listen.port() {
            80 => format!("http://{app}.{}/", self.domain),
            port => format!("http://{app}.{}:{port}/", self.domain),
        }
    }

    /// The host (with port) of git remotes and of URLs that this server hands out to clients of the loopback form.
    #[must_use]
    pub fn git_host(&self) -> String {
        format!("localhost:{}", self.listen.port())
    }
}
