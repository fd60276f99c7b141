//! What apps say: their output into the log plane, and sessions that read it.

pub mod log_session;
pub(crate) mod output;
pub(crate) mod sweep;

use std::sync::Arc;

use paddock_runtime::Runtime;
use paddock_telemetry::OutputLogs;

use crate::kernel::Kernel;

/// The use cases of log sessions, and what collects output.
pub struct Logs {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) outputs: Arc<OutputLogs>,
}
