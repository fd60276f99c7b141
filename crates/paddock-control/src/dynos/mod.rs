//! Dynos: how many there shall be, what each runs, its start, its end, and who is attached to it. The pass of the
//! formation carries the release phase, so this area may call `deploy`.

pub(crate) mod attached;
mod attention;
pub mod dyno;
mod errands;
pub mod formation;
pub(crate) mod launch;
pub(crate) mod reconcile;
mod rows;
mod sight;
pub(crate) mod steps;
mod stop_all;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use paddock_core::ContainerId;
use paddock_runtime::Runtime;

use crate::deploy::Deploy;
use crate::kernel::Kernel;

/// The use cases of dynos and formations, and the steps of their reconciler.
pub struct Dynos {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) deploy: Arc<Deploy>,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Containers that were sent SIGTERM by this process.
    pub(crate) stopping: Mutex<HashSet<ContainerId>>,
    /// Clients of attached one-off dynos.
    pub(crate) clients: attached::Clients,
}
