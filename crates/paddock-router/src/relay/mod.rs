//! One request and its answer on their way: to the server as it comes from the client, and back. Both bodies move at
//! once; the server may answer before it has everything.

pub(crate) mod reader;
pub(crate) mod tunnel;
pub(crate) mod turn;

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use paddock_http1::{
    BadResponse, Body, Fields, Malformed, Progress, Response, ResponseReader, write_chunk, write_last_chunk,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::clock::clock;
use crate::relay::reader::Reader;

/// Bytes of a response that wait for their client: so much of it frees the dyno at once.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Why a request did not reach its server whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendFailed {
    /// The client broke off.
    ClientGone,
    /// The client's body is malformed.
    Malformed,
    /// The server takes nothing more. It may have answered all the same.
    ServerGone,
}

/// Why there is no head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHead<E> {
    /// It is malformed, or breaks a limit.
    Bad(BadResponse),
    /// The server closed the connection; whether anything had come.
    Closed { begun: bool },
    /// It is the client's doing.
    Client(SendFailed),
    /// Nobody waits any longer.
    TooLate(E),
}

/// Why a response broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The client takes nothing more, or its own body broke off or is none.
    Client(SendFailed),
    /// The server closed the connection.
    Closed,
    /// The server's chunks are none.
    Malformed,
    /// Neither side sent anything for too long.
    Silent,
}

/// What has moved of a request so far, shared by its two directions.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    last: AtomicU64,
    /// The server was sent something.
    began: AtomicBool,
    /// It was sent everything.
    complete: AtomicBool,
    /// It does not take what it is sent.
    blocked: AtomicBool,
}

impl Moved {
    pub(crate) fn new() -> Self {
        let moved = Self::default();
        moved.touch();
        moved
    }

    fn touch(&self) {
        self.last.store(clock(), Ordering::Relaxed);
    }

    /// How long ago bytes last came or went.
    pub(crate) fn silent_for(&self) -> Duration {
        Duration::from_millis(clock().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.began.load(Ordering::Relaxed)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}

/// Sends `out`, which is the head, and the body as it comes. What was not sent at the end is left in `out`.
pub(crate) async fn send<R, W>(
    out: &mut BytesMut,
    body: &mut Body,
    client: &mut Reader<R>,
    server: &mut W,
    moved: &Moved,
) -> Result<(), SendFailed>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut data = BytesMut::new();
    loop {
        let mut has_more = false;
        if !body.is_complete() {
            has_more = body.take(&mut client.buffer, &mut data).map_err(|Malformed| SendFailed::Malformed)?;
            frame(&mut data, body, matches!(body, Body::Chunked(_)), None, out);
        }
        while !out.is_empty() {
            moved.blocked.store(true, Ordering::Relaxed);
            match server.write_buf(out).await {
                Ok(1..) => moved.touch(),
                Ok(_) | Err(_) => return Err(SendFailed::ServerGone),
            }
            moved.began.store(true, Ordering::Relaxed);
            moved.blocked.store(false, Ordering::Relaxed);
        }
        if body.is_complete() {
            moved.complete.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if has_more {
            yield_now().await;
            continue;
        }
        match client.fill().await {
            Ok(1..) => moved.touch(),
            Ok(_) | Err(_) => return Err(SendFailed::ClientGone),
        }
    }
}

/// Moves data to `out`, in chunks or as it is, and the end of the chunks after the last of it.
fn frame(data: &mut BytesMut, body: &Body, is_chunked: bool, trailers: Option<&Fields>, out: &mut BytesMut) {
    if !is_chunked {
        out.unsplit(data.split());
        return;
    }
    write_chunk(&data.split(), out);
    if body.is_complete() {
        write_last_chunk(trailers, out);
    }
}

/// A response on its way to the client.
pub(crate) struct Passing<'a> {
    /// What waits for the client: the head, then the body as it is sent on.
    pub(crate) out: BytesMut,
    pub(crate) body: Body,
    /// It is sent on in chunks.
    pub(crate) is_chunked: bool,
    /// The client was sent some of it.
    pub(crate) has_begun: bool,
    /// Counts the bytes of the body.
    pub(crate) bytes: &'a AtomicU64,
    pub(crate) idle: Duration,
}

impl Passing<'_> {
    /// Whether there is more to take at once.
    fn take(&mut self, buffer: &mut BytesMut) -> Result<bool, Broken> {
        if self.body.is_complete() {
            return Ok(false);
        }
        let mut data = BytesMut::new();
        let has_more = self.body.take(buffer, &mut data).map_err(|Malformed| Broken::Malformed)?;
        self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        frame(&mut data, &self.body, self.is_chunked, self.body.trailers(), &mut self.out);
        Ok(has_more)
    }

    /// The body ended with its connection.
    pub(crate) fn end(&mut self) {
        self.body = Body::Empty;
        if self.is_chunked {
            write_last_chunk(None, &mut self.out);
        }
    }
}

/// A request that is being sent, and what the server says to it.
pub(crate) struct Talk<'a, S, R> {
    /// The future of [`send`], until it has ended.
    sending: Option<Pin<&'a mut S>>,
    server: &'a mut Reader<R>,
    moved: &'a Moved,
}

impl<'a, S, R> Talk<'a, S, R>
where
    S: Future<Output = Result<(), SendFailed>>,
    R: AsyncRead + Unpin,
{
    pub(crate) fn new(sending: Pin<&'a mut S>, server: &'a mut Reader<R>, moved: &'a Moved) -> Self {
        Self { sending: Some(sending), server, moved }
    }

    /// The head of the response. `patience` says for how long to wait before it is asked again.
    pub(crate) async fn head<E>(
        &mut self,
        patience: impl Fn() -> Result<Duration, E>,
    ) -> Result<Response, NoHead<E>> {
        let mut reader = ResponseReader::default();
        let mut alarm = pin!(sleep(patience().map_err(NoHead::TooLate)?));
        loop {
            if let Progress::Done(head) = reader.take(&mut self.server.buffer) {
                return head.map_err(NoHead::Bad);
            }
            tokio::select! {
                biased;
                sent = sent(&mut self.sending) => match sent {
                    Ok(()) | Err(SendFailed::ServerGone) => {}
                    Err(failed) => return Err(NoHead::Client(failed)),
                },
                read = self.server.fill() => if !matches!(read, Ok(1..)) {
                    return Err(NoHead::Closed { begun: reader.has_begun() });
                },
                () = alarm.as_mut() => {
                    let left = patience().map_err(NoHead::TooLate)?;
                    alarm.as_mut().reset(Instant::now() + left);
                }
            }
        }
    }

    /// Passes the response on until all of its body has come; what the client has not taken by then is left in `out`.
    pub(crate) async fn pass<W>(&mut self, passing: &mut Passing<'_>, to: &mut W) -> Result<(), Broken>
    where
        W: AsyncWrite + Unpin,
    {
        let mut alarm = pin!(sleep(passing.idle));
        let mut is_flushed = true;
        loop {
            let has_room = passing.out.len() < WAITING_BYTES_MAX;
            let has_more = has_room && passing.take(&mut self.server.buffer)?;
            if passing.body.is_complete() {
                return Ok(());
            }
            let is_waiting = !passing.out.is_empty();
            tokio::select! {
                biased;
                written = write(to, &mut passing.out), if is_waiting || !is_flushed => match written {
                    Ok(0) => is_flushed = true,
                    Ok(_) => {
                        self.moved.touch();
                        passing.has_begun = true;
                        is_flushed = false;
                    }
                    Err(_) => return Err(CLIENT_GONE),
                },
                () = yield_now(), if has_more => {}
                read = self.server.fill(), if has_room && !has_more => match read {
                    Ok(1..) => self.moved.touch(),
                    Ok(_) if passing.body.ends_with_connection() => passing.end(),
                    Ok(_) | Err(_) => return Err(Broken::Closed),
                },
                sent = sent(&mut self.sending) => match sent {
                    Ok(()) | Err(SendFailed::ServerGone) => {}
                    Err(failed) => return Err(Broken::Client(failed)),
                },
                () = alarm.as_mut() => {
                    let left = passing.idle.saturating_sub(self.moved.silent_for());
                    if left.is_zero() && !is_waiting {
                        return Err(Broken::Silent);
                    }
                    // A client that takes nothing is given up by its own stream.
                    let left = if left.is_zero() { passing.idle } else { left };
                    alarm.as_mut().reset(Instant::now() + left);
                }
            }
        }
    }

    /// Sends the rest of a request that was answered before all of it had come, as far as the server takes it, and what
    /// the client has not taken of its answer meanwhile. What is left of that at the end stays in `out`.
    pub(crate) async fn finish<W>(
        &mut self,
        out: &mut BytesMut,
        to: &mut W,
        idle: Duration,
    ) -> Result<(), Broken>
    where
        W: AsyncWrite + Unpin,
    {
        let mut is_flushed = false;
        while self.sending.is_some() {
            let is_waiting = !out.is_empty();
            // A client that takes nothing is given up by its own stream.
            let left = if is_waiting { idle } else { idle.saturating_sub(self.moved.silent_for()) };
            tokio::select! {
                biased;
                written = write(to, out), if is_waiting || !is_flushed => match written {
                    Ok(written) => is_flushed = written == 0,
                    Err(_) => return Err(CLIENT_GONE),
                },
                sent = sent(&mut self.sending) => match sent {
                    Ok(()) | Err(SendFailed::ServerGone) => {}
                    Err(failed) => return Err(Broken::Client(failed)),
                },
                () = sleep(left) => if left.is_zero() {
                    return Ok(());
                },
            }
        }
        Ok(())
    }
}

const CLIENT_GONE: Broken = Broken::Client(SendFailed::ClientGone);

/// Writes some of what waits, or, when nothing does, flushes: 0 then.
async fn write(to: &mut (impl AsyncWrite + Unpin), out: &mut BytesMut) -> io::Result<usize> {
    if out.is_empty() {
        return to.flush().await.map(|()| 0);
    }
    match to.write_buf(out).await {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    }
}

/// Ready with the end of what is sent, once.
async fn sent<S: Future>(sending: &mut Option<Pin<&mut S>>) -> S::Output {
    let Some(future) = sending else { return std::future::pending().await };
    let sent = future.as_mut().await;
    *sending = None;
    sent
}
