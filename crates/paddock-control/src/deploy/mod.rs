//! From source to a release: pushes, uploads, builds, slugs, releases and what they said.

pub mod build;
pub(crate) mod build_queue;
pub mod build_record;
pub(crate) mod buildpack;
pub(crate) mod cancel;
pub mod git;
pub mod image_release;
pub(crate) mod job;
mod layers_in_use;
pub mod output;
pub mod push;
pub mod release;
pub(crate) mod release_steps;
pub(crate) mod running_containers;
pub mod slug;
pub mod source;
pub mod stack;
pub(crate) mod stream_secret;
pub(crate) mod sweep;
mod verify;

use std::sync::Arc;

use paddock_build::Builder;
use paddock_build::git::Repositories;
use paddock_core::AccountId;
use paddock_core::turns::Turns;
use paddock_images::LayerStore;
use paddock_outbound::Outbound;
use paddock_runtime::Runtime;
use paddock_telemetry::OutputLogs;

use crate::deploy::buildpack::mirror::Mirror;
use crate::kernel::Kernel;
use crate::kernel::find_images::FindImages;
use crate::kernel::order_addons::OrderAddons;

/// The use cases of sources, builds, slugs and releases.
pub struct Deploy {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) layers: Arc<dyn LayerStore>,
    pub(crate) repositories: Arc<Repositories>,
    pub(crate) builder: Arc<Builder>,
    pub(crate) outputs: Arc<OutputLogs>,
    pub(crate) outbound: Outbound,
    /// The archives of buildpacks.
    pub(crate) mirror: Mirror,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Makes what a first release asks for.
    pub(crate) addons: Arc<dyn OrderAddons>,
    /// Finds what Dockerfiles begin from.
    pub(crate) images: Arc<dyn FindImages>,
    pub(crate) cancels: cancel::Cancels,
    pub(crate) stream_key: stream_secret::StreamKey,
    pub(crate) running_containers: running_containers::RunningContainers,
    /// What running builds were given.
    pub(crate) layers_in_use: layers_in_use::LayersInUse,
    /// Held by who adds a stack.
    pub(crate) adding_stack: tokio::sync::Mutex<()>,
    /// Read by who takes layers in that no row names yet, written by who removes such layers.
    pub(crate) layers_coming: tokio::sync::RwLock<()>,
    /// Uploads of sources and slugs, by account.
    pub(crate) uploads: Turns<AccountId>,
}
