//! Rendezvous: raw connections of `heroku run` clients, over a Unix socket behind the router.
//!
//! After the PROXY header comes the secret and CR LF, nothing else. The client throws away the first piece that it
//! receives (`docs/contract/heroku-cli.md`, 4.1): so `rendezvous` goes alone, and output waits until the client has
//! surely read it. Then bytes flow both ways until the program ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use paddock_control::dyno::{DynoInput, DynoSession};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Api;
use crate::accept::accept_on;
use crate::client::Client;

/// How long a client may take to say its secret.
const SECRET_TIME_MAX: Duration = Duration::from_secs(30);
const SECRET_BYTES_MAX: usize = 1024;
/// Between the greeting and the first output: the router passes on what it reads at once, so a pause here is a
/// boundary between two records there.
const GREETING_PAUSE: Duration = Duration::from_millis(100);
/// A session in which nothing moves ends. Source: `docs/contract/heroku-cli.md`, 4.1.
const IDLE_MAX: Duration = Duration::from_secs(60 * 60);
/// What the official client sends at the end of its standard input.
const END_OF_TRANSMISSION: u8 = 4;
/// After so long that character is taken for the end, rather than for a byte of the input.
const NOTHING_FOLLOWS: Duration = Duration::from_millis(200);
/// How long a pipe's program may go on after a client has ended its side without that character: the client may only have
/// said all, and wait for the answer, or be gone.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(5);
/// How long a client may take to hang up after the end: closing first could lose what it has not read.
const HANG_UP_TIME_MAX: Duration = Duration::from_secs(5);

/// Serves rendezvous clients until `shutdown`. Sessions that run then are cut, and the next server hangs up on their dynos.
pub async fn serve_rendezvous(listener: UnixListener, api: Arc<Api>, shutdown: CancellationToken) {
    let serve = |stream| {
        let (api, shutdown) = (api.clone(), shutdown.clone());
        async move {
            if let Some(Err(error)) = shutdown.run_until_cancelled(session(stream, &api)).await {
                tracing::debug!(%error, "a rendezvous session ended early");
            }
        }
    };
    accept_on(listener, &shutdown, serve).await.wait().await;
}

async fn session(mut stream: UnixStream, api: &Api) -> io::Result<()> {
    let hello = async {
        Client::read(&mut stream).await?;
        read_secret(&mut stream).await
    };
    let secret =
        tokio::time::timeout(SECRET_TIME_MAX, hello).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let attached = api.control.dynos.attach_dyno(&secret).await;
    stream.write_all(b"rendezvous\r\n").await?;
    stream.flush().await?;
    tokio::time::sleep(GREETING_PAUSE).await;
    match attached {
        Ok(session) => {
            tracing::info!(dyno.name = session.dyno(), "a client attached to a one-off dyno");
            join(stream, session, api).await
        }
        Err(error) => {
            stream.write_all(format!(" !    {}\r\n", error.message).as_bytes()).await?;
            hang_up(stream).await
        }
    }
}

/// The line up to CR LF. What follows a `?` is not part of the secret.
async fn read_secret(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        // Byte by byte: what comes after the line belongs to the program.
        line.push(stream.read_u8().await?);
        if line.len() > SECRET_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the secret is too long"));
        }
    }
    let line = String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(line.trim_end().split('?').next().unwrap_or_default().to_owned())
}

async fn join(stream: UnixStream, mut session: DynoSession, api: &Api) -> io::Result<()> {
    let input = session.input();
    let (reader, mut writer) = stream.into_split();
    let moved = Arc::new(Notify::new());
    #[expect(clippy::disallowed_methods, reason = "it is waited for, and ends with its socket")]
    let mut typing = tokio::spawn(forward(reader, input, !session.has_terminal(), moved.clone()));
    let mut left_at = None;
    let outcome = loop {
        tokio::select! {
            bytes = session.next_output() => match bytes {
                None => break Ok(()),
                Some(bytes) => {
                    if let Err(error) = writer.write_all(&bytes).await {
                        break Err(error);
                    }
                }
            },
            ended = &mut typing, if left_at.is_none() => {
                let is_half_closed = !session.has_terminal() && ended.is_ok_and(|ended| ended == Typing::BrokeOff);
                let rest = if is_half_closed { HALF_CLOSED_MAX } else { Duration::ZERO };
                left_at = Some(Instant::now() + rest);
            }
            () = left(left_at) => break Ok(()),
            // The client's bytes count as movement, too.
            () = moved.notified() => {}
            () = tokio::time::sleep(IDLE_MAX) => break Ok(()),
        }
    };
    // All that the program said was passed on, and the dyno may be forgotten; or nobody is there for it any more.
    drop(session);
    api.control.kernel.wakes.dynos.wake();
    // The end of our side first; then the client hangs up when it has read everything.
    let _ = writer.shutdown().await;
    if left_at.is_none() {
        let _ = tokio::time::timeout(HANG_UP_TIME_MAX, typing).await;
    }
    outcome
}

/// Waits until a client that ended its side is taken for gone.
async fn left(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How a client ended its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typing {
    /// It had said that its input is over, and stayed for the rest.
    WasOver,
    /// In the middle.
    BrokeOff,
}

/// Copies what the client types, until it hangs up. Its end ends the program's input.
async fn forward(
    reader: impl AsyncRead + Unpin,
    input: DynoInput,
    is_pipe: bool,
    moved: Arc<Notify>,
) -> Typing {
    let mut typed = Typed { reader, is_pipe, held_end: false };
    let (mut takes_more, mut end) = (true, Typing::BrokeOff);
    while let Some(piece) = typed.next().await {
        moved.notify_one();
        match piece {
            // A program that has ended takes no more; reading goes on, so that the client's end is seen.
            Piece::Bytes(bytes) => takes_more = takes_more && input.write(bytes).await,
            Piece::End => {
                input.end().await;
                (takes_more, end) = (false, Typing::WasOver);
            }
        }
    }
    input.end().await;
    end
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Bytes),
    End,
}

/// Reads a client. At the end of its standard input the official client sends one end-of-transmission character and
/// stays: a terminal knows what that means; for a pipe, one that nothing follows is the end.
struct Typed<R> {
    reader: R,
    is_pipe: bool,
    /// The last byte was that character, and was not passed on yet.
    held_end: bool,
}

impl<R: AsyncRead + Unpin> Typed<R> {
    /// The next piece; `None` when the client has hung up.
    async fn next(&mut self) -> Option<Piece> {
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        if self.held_end {
            buffer.extend([END_OF_TRANSMISSION]);
        }
        let read = self.reader.read_buf(&mut buffer);
        let read = match std::mem::take(&mut self.held_end) {
            false => read.await,
            true => match tokio::time::timeout(NOTHING_FOLLOWS, read).await {
                Ok(read) => read,
                Err(_) => return Some(Piece::End),
            },
        };
        if !matches!(read, Ok(1..)) {
            return None;
        }
        if self.is_pipe && buffer.ends_with(&[END_OF_TRANSMISSION]) {
            self.held_end = true;
            buffer.truncate(buffer.len() - 1);
        }
        Some(Piece::Bytes(buffer.freeze()))
    }
}

async fn hang_up(mut stream: UnixStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    let drain = async { while let Ok(1..) = stream.read(&mut rest).await {} };
    let _ = tokio::time::timeout(HANG_UP_TIME_MAX, drain).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Piece, Typed, read_secret};

    #[tokio::test]
    async fn the_secret_ends_before_the_query_and_takes_nothing_else() {
        let mut bytes = &b"abc?x=1\r\nrest"[..];
        assert_eq!(read_secret(&mut bytes).await.unwrap(), "abc");
        assert_eq!(bytes, b"rest");
        assert!(read_secret(&mut &[b'a'; 5000][..]).await.is_err());
        assert!(read_secret(&mut &b"abc"[..]).await.is_err());
    }

    #[tokio::test]
    async fn a_pipe_ends_at_a_character_that_nothing_follows() {
        use tokio::io::AsyncWriteExt;
        let (mut client, reader) = tokio::io::duplex(64);
        let mut typed = Typed { reader, is_pipe: true, held_end: false };
        client.write_all(b"a\x04").await.unwrap();
        assert_eq!(typed.next().await, Some(Piece::Bytes("a".into())));
        client.write_all(b"b\x04").await.unwrap();
        assert_eq!(typed.next().await, Some(Piece::Bytes("\x04b".into())), "something followed");
        assert_eq!(typed.next().await, Some(Piece::End));
        drop(client);
        assert_eq!(typed.next().await, None);
    }

    #[tokio::test]
    async fn a_terminal_gets_every_byte() {
        let mut typed = Typed { reader: &b"a\x04"[..], is_pipe: false, held_end: false };
        assert_eq!(typed.next().await, Some(Piece::Bytes("a\x04".into())));
        assert_eq!(typed.next().await, None);
    }
}
