//! Output of a container in batches, each to be made durable at once.

use std::time::Duration;

use paddock_runtime::Output;
use tokio::sync::mpsc;

/// Most lines that are made durable together.
const BATCH: usize = 1000;
/// How long a batch may wait to become larger: an fsync costs more.
const GATHER: Duration = Duration::from_millis(3);

/// The next lines, as many as come within a moment; `None` at the end.
pub(crate) async fn gather(output: &mut mpsc::Receiver<Output>) -> Option<Vec<Output>> {
    let mut batch = Vec::new();
    if output.recv_many(&mut batch, BATCH).await == 0 {
        return None;
    }
    let until = tokio::time::Instant::now() + GATHER;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match tokio::time::timeout_at(until, output.recv_many(&mut batch, room)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    Some(batch)
}
