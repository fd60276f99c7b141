//! Work with files.

use tokio::task::spawn_blocking;

use crate::error::LogError;

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    spawn_blocking(work).await.unwrap_or(Err(LogError::ShuttingDown))
}
