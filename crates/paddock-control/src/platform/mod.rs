//! The server itself: its numbers, backups, keys, network, and what nobody names any more.

pub mod backup;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod rate_limits;
pub mod storage;
pub(crate) mod sweep;

use std::sync::Arc;

use paddock_build::git::Repositories;
use paddock_images::LayerStore;
use paddock_runtime::Runtime;

use crate::kernel::Kernel;
use crate::kernel::dump_databases::DumpDatabases;

pub struct Platform {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) layers: Arc<dyn LayerStore>,
    pub(crate) repositories: Arc<Repositories>,
    /// Held by who removes what nobody can reach any more, and by who needs it to stay.
    pub(crate) garbage: tokio::sync::Mutex<()>,
    /// Dumps what a backup has of add-ons.
    pub(crate) dumps: Arc<dyn DumpDatabases>,
    /// Held by who writes a backup.
    pub(crate) backing_up: tokio::sync::Mutex<()>,
}
