//! Why a log cannot be written or read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use paddock_core::AppId;

#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The disk refused. Nothing of the call is promised to be kept.
    #[error("could not {doing} the log of app {app}")]
    Disk {
        doing: &'static str,
        app: AppId,
        #[source]
        source: Arc<io::Error>,
    },
    /// The folder of all logs cannot be used.
    #[error("could not use the folder of logs {folder}")]
    Folder {
        folder: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    /// The app's log was deleted meanwhile.
    #[error("the log of app {0} has been deleted")]
    Deleted(AppId),
    /// The process is ending.
    #[error("the log plane is shutting down")]
    ShuttingDown,
}
