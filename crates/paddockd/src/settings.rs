//! What a server is to be like: everything that its operator said, checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use paddock_core::build::BuildDisk;
use paddock_core::buildpack::BuildpackUrls;
use paddock_core::dyno::DynoDisk;
use paddock_ipc::routes::Network;
use paddock_store::DatabaseUrl;

use crate::backups::BackupsSettings;
use crate::egress::Egress;
use crate::paths::Paths;

/// Settings of `paddockd serve`.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The data folder, as it was named.
    pub(crate) data: PathBuf,
    /// The database, if it is not SQLite in the data folder.
    pub(crate) database: Option<DatabaseUrl>,
    pub(crate) listen: SocketAddr,
    /// Whether the proxy form is answered beyond loopback.
    pub(crate) proxy_form: bool,
    /// The proxies whose word on clients is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) domain: String,
    pub(crate) admin_email: String,
    /// Where the master key lies, if not in the data folder.
    pub(crate) master_key_file: Option<PathBuf>,
    pub(crate) allow_egress: Vec<Egress>,
    /// At least one.
    pub(crate) concurrent_builds: usize,
    pub(crate) build_disk: BuildDisk,
    /// How much is kept of layers only to be used again.
    pub(crate) layer_cache_bytes: u64,
    pub(crate) registry_bytes: u64,
    pub(crate) dyno_disk: DynoDisk,
    pub(crate) dyno_trial: Duration,
    pub(crate) data_memory_percent: u8,
    pub(crate) data_storage_grace: Duration,
    /// Where backups of databases go, if not into the data folder.
    pub(crate) backups: Option<BackupsSettings>,
    pub(crate) buildpack_urls: BuildpackUrls,
    pub(crate) buildpack_age: Duration,
    pub(crate) buildpack_folder: Option<PathBuf>,
}

impl Settings {
    /// Where the master key lies.
    pub(crate) fn master_key(&self, paths: &Paths) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| paths.master_key())
    }
}
