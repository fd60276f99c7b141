//! Output of a container, read from its spool: with or without a shim behind it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use paddock_ipc::spool::{Reader, Record};
use paddock_runtime::{Output, Stream};
use tokio::sync::mpsc;

use crate::container::{Known, is_over};
use crate::record::Folder;

/// Flag of a record that ends its line.
pub(crate) const ENDS_LINE: u8 = 1;
/// Bytes read at once.
const BATCH_BYTES: usize = 256 * 1024;
/// Pieces on their way to the receiver.
const PIECES_AHEAD: usize = 1024;
/// How long to wait for a wake-up before looking all the same.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The tag of a stream's records.
pub(crate) fn tag(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Notice => 2,
    }
}

fn piece(record: Record) -> Output {
    let stream = match record.tag {
        0 => Stream::Stdout,
        1 => Stream::Stderr,
        _ => Stream::Notice,
    };
    let ends_line = record.flags & ENDS_LINE != 0;
    Output { seq: record.seq, at: record.at, stream, bytes: record.bytes.into(), ends_line }
}

/// Sends what the spool has after `after` and then what comes, until the container has ended.
pub(crate) fn follow(folder: Folder, known: Arc<Known>, after: u64) -> mpsc::Receiver<Output> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    #[expect(clippy::disallowed_methods, reason = "it ends with who receives")]
    tokio::spawn(async move {
        // The receiver takes the channel's end as the output's: an error is not that. It begins again after the last
        // piece that was sent.
        let mut after = after;
        while let Err(error) = send_all(&folder, &known, &mut after, &sender).await {
            tracing::error!(container = %folder.0.display(), %error, "could not read the output of a container");
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    });
    receiver
}

async fn send_all(
    folder: &Folder,
    known: &Known,
    after: &mut u64,
    sender: &mpsc::Sender<Output>,
) -> io::Result<()> {
    let mut wakes = known.wakes();
    let mut reader = Reader::new(&folder.spool(), *after);
    loop {
        wakes.mark_unchanged();
        // Asked before reading: what was written before the end is read in this round at the latest.
        let folder = folder.clone();
        let (over, batch, back) = tokio::task::spawn_blocking(move || {
            let over = is_over(&folder);
            let batch = reader.next_batch(BATCH_BYTES);
            (over, batch, reader)
        })
        .await
        .map_err(io::Error::other)?;
        reader = back;
        let batch = batch?;
        if batch.is_empty() {
            if over {
                return Ok(());
            }
            tokio::select! {
                () = sender.closed() => return Ok(()),
                _ = tokio::time::timeout(LOOK_AGAIN, wakes.changed()) => {}
            }
        }
        for record in batch {
            let seq = record.seq;
            if sender.send(piece(record)).await.is_err() {
                return Ok(());
            }
            *after = seq;
        }
    }
}
