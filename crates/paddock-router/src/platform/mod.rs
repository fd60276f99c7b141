//! Requests to the platform itself: passed to `serve`, one connection each, and held while `serve` is away.

pub(crate) mod rendezvous;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::BytesMut;
use paddock_http1::{Defect, Response};
use paddock_ipc::proxy_header;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::exchange::client::{self, Asked, Became, Client, Next};
use crate::exchange::header::{self, Protocol};
use crate::exchange::page::{self, Page};
use crate::relay::reader::Reader;
use crate::relay::tunnel;
use crate::relay::turn::Paced;
use crate::relay::{self, Broken, Moved, NoHead, Passing, SendFailed, Talk};

/// How often it is looked whether `serve` is back.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// `serve` may take its time, and streams may be silent.
const PATIENCE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Passes a request to `serve` and its answer back.
pub(crate) async fn answer(client: &mut Client, connection: &Connection, mut asked: Asked) -> Became<Tunnel> {
    let config = &connection.router.config;
    let Ok(serve) = connect(&config.serve_socket, config.limits.serve_wait).await else {
        let page = page::unavailable("The platform is restarting. Please try again in a few seconds.");
        return Became::Answered(client.say(page, &mut asked, connection).await);
    };
    if asked.expects_continue && !asked.body.is_complete() && client.say_continue().await.is_err() {
        return Became::Answered(Next::Broken);
    }
    let (read, writer) = serve.into_split();
    let mut serve = Serve { reader: Reader::new(Paced::new(read)), writer };
    let origin = proxy_header::encode(connection.peer, connection.local, tls_name(connection));
    // Where that fails there is no answer either.
    let _ = serve.writer.write_all(&origin).await;
    match talk(client, connection, &mut asked, serve).await {
        Ok(became) => became,
        Err(page) => Became::Answered(client.say(page, &mut asked, connection).await),
    }
}

/// A connection to `serve`.
struct Serve {
    reader: Reader<Paced<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

/// The head of the request.
fn head(asked: &mut Asked, protocol: Protocol) -> BytesMut {
    let fields = &mut asked.request.fields;
    header::strip_hop_by_hop(fields, protocol);
    header::frame(fields, &asked.body, true);
    // The router answers 100 itself.
    fields.remove("expect");
    asked.request.version = paddock_http1::Version::Http11;
    let mut out = BytesMut::new();
    asked.request.write(&mut out);
    out
}

async fn talk(
    client: &mut Client,
    connection: &Connection,
    asked: &mut Asked,
    mut serve: Serve,
) -> Result<Became<Tunnel>, Page> {
    let protocol = header::protocol(&asked.request);
    let mut out = head(asked, protocol);
    let (moved, bytes, manner) = (Moved::new(), AtomicU64::new(0), asked.manner);
    let Client { reader, writer, .. } = &mut *client;
    let passed = {
        let sending = pin!(relay::send(&mut out, &mut asked.body, reader, &mut serve.writer, &moved));
        let mut talk = Talk::new(sending, &mut serve.reader, &moved);
        let response = talk.head(|| Ok::<_, ()>(PATIENCE)).await.map_err(no_answer)?;
        if response.status == 101 && protocol == Protocol::Upgrade {
            Err(response)
        } else {
            let body = response.body(manner.is_head).map_err(|bad| no_answer(NoHead::Bad(bad)))?;
            let is_stream = is_events(&response);
            let (mut passing, closes) = client::pass_on(response, body, manner, connection, &bytes, PATIENCE);
            let passed = pass(&mut talk, &mut passing, writer, is_stream).await;
            let out = passing.out;
            Ok(passed.map(|()| (out, closes)))
        }
    };
    let (mut waiting, closes) = match passed {
        Ok(Ok(passed)) => passed,
        Ok(Err(_)) => return Ok(Became::Answered(Next::Broken)),
        Err(switching) => return Ok(switch(client, switching, serve).await),
    };
    if client.send(&mut waiting).await.is_err() {
        return Ok(Became::Answered(Next::Broken));
    }
    let is_unread = !asked.body.is_complete();
    Ok(Became::Answered(if closes || is_unread { Next::Close { is_unread } } else { Next::Again }))
}

/// Passes the answer on, and the rest of the request.
async fn pass<S, R, W>(
    talk: &mut Talk<'_, S, R>,
    passing: &mut Passing<'_>,
    to: &mut W,
    is_stream: bool,
) -> Result<(), Broken>
where
    S: Future<Output = Result<(), SendFailed>>,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    match talk.pass(passing, to).await {
        // To a client the end is an invitation to come back with the last id it saw, where an error would end
        // `logs --tail`.
        Err(Broken::Closed) if is_stream => passing.end(),
        passed => passed?,
    }
    talk.finish(&mut passing.out, to, PATIENCE).await
}

fn is_events(response: &Response) -> bool {
    response.fields.get("content-type").is_some_and(|kind| kind.starts_with(b"text/event-stream"))
}

/// What a client is told when `serve` gave no answer.
fn no_answer(no_head: NoHead<()>) -> Page {
    match no_head {
        NoHead::Client(SendFailed::Malformed | SendFailed::ClientGone) => page::bad_request(Defect::Chunk),
        no_head => {
            tracing::warn!(?no_head, "serve did not finish a request");
            page::unavailable(
                "The platform was interrupted. The request may or may not have been carried out.",
            )
        }
    }
}

async fn switch(client: &mut Client, response: Response, serve: Serve) -> Became<Tunnel> {
    match client.switch(response).await {
        Ok(()) => Became::Tunnel(Tunnel(serve)),
        Err(_) => Became::Answered(Next::Broken),
    }
}

/// A tunnel between a client and `serve`.
pub(crate) struct Tunnel(Serve);

impl Tunnel {
    /// Passes bytes both ways until it ends.
    pub(crate) async fn run(self, mut client: Client, connection: &Connection) {
        let Self(mut serve) = self;
        let client = (&mut client.reader, &mut client.writer);
        let idle = connection.router.config.limits.rendezvous_idle;
        tunnel::run(client, (&mut serve.reader, &mut serve.writer), idle, &AtomicU64::new(0)).await;
    }
}

/// The version of TLS as the PROXY header names it.
pub(crate) fn tls_name(connection: &Connection) -> Option<&'static str> {
    connection.tls_version.map(|version| if version == "tls1.3" { "TLSv1.3" } else { "TLSv1.2" })
}

/// Connects to a socket of `serve`, again and again for `wait` while nobody listens there.
pub(crate) async fn connect(socket: &Path, wait: Duration) -> io::Result<UnixStream> {
    let until = Instant::now() + wait;
    loop {
        let error = match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let away = matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock
        );
        if !away || Instant::now() >= until {
            return Err(error);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
