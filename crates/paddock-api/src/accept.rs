//! The accept loop of the sockets behind the router.

use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long nothing is accepted after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Spawns `serve` for each connection until `stop`, closes the socket, and answers those that are still served.
pub(crate) async fn accept_on<F>(
    listener: UnixListener,
    stop: &CancellationToken,
    serve: impl Fn(UnixStream) -> F,
) -> TaskTracker
where
    F: Future<Output = ()> + Send + 'static,
{
    let served = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                served.spawn(serve(stream));
            }
            Err(error) => {
                // Out of descriptors, mostly: others must end before one more can be had.
                tracing::warn!(%error, socket = ?listener.local_addr(), "could not accept a connection");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
    served.close();
    served
}
