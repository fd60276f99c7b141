//! Requests to the platform itself: passed to `serve`, one connection each, and held while `serve` is away.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::header::{CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::accept::{Aborted, Connection};
use crate::body::ResponseBody;
use crate::header::{self, Protocol};
use crate::{page, proxy_header, tunnel};

/// How often it is looked whether `serve` is back.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Passes a request to `serve` and its answer back.
pub(crate) async fn answer(
    connection: &Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Aborted> {
    let protocol = header::protocol(request.headers());
    let upgrade = (protocol == Protocol::Upgrade).then(|| hyper::upgrade::on(&mut request));
    let Ok(mut sender) = open(connection).await else {
        return Ok(page::unavailable("The platform is restarting. Please try again in a few seconds."));
    };
    let (mut parts, body) = request.into_parts();
    header::strip_hop_by_hop(&mut parts.headers, protocol);
    // The router answers 100 itself.
    parts.headers.remove(EXPECT);
    header::origin_form(&mut parts);
    match sender.send_request(Request::from_parts(parts, body)).await {
        Ok(response) => Ok(finish(connection, response, upgrade)),
        // The body that broke is the client's: it left, or its chunks are none.
        Err(error) if error.is_user() => {
            Ok(page::bad_request("The request's body broke off or is malformed."))
        }
        Err(error) => {
            tracing::warn!(%error, "serve did not finish a request");
            let message = "The platform was interrupted. The request may or may not have been carried out.";
            Ok(page::unavailable(message))
        }
    }
}

fn finish(
    connection: &Arc<Connection>,
    mut response: Response<Incoming>,
    upgrade: Option<OnUpgrade>,
) -> Response<ResponseBody> {
    let mut protocol = Protocol::Http;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client) = upgrade
    {
        protocol = Protocol::Upgrade;
        let serve = hyper::upgrade::on(&mut response);
        connection.router.tasks.spawn(join(connection.clone(), client, serve));
    }
    let (mut parts, body) = response.into_parts();
    header::strip_hop_by_hop(&mut parts.headers, protocol);
    let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let body = match kind.starts_with(b"text/event-stream") {
        true => ResponseBody::PlatformEvents(body),
        false => ResponseBody::Platform(body),
    };
    Response::from_parts(parts, body)
}

async fn join(connection: Arc<Connection>, client: OnUpgrade, serve: OnUpgrade) {
    let Ok((client, serve)) = tokio::try_join!(client, serve) else { return };
    let router = &connection.router;
    let idle = router.config.limits.rendezvous_idle;
    let down = AtomicU64::new(0);
    tokio::select! {
        _ = tunnel::run(TokioIo::new(client), TokioIo::new(serve), idle, &down) => {}
        () = router.stop.forced() => {}
    }
}

async fn open(connection: &Connection) -> Result<http1::SendRequest<Incoming>, Box<dyn std::error::Error>> {
    let config = &connection.router.config;
    let mut stream = connect(&config.serve_socket, config.limits.serve_wait).await?;
    let header = proxy_header::encode(connection.peer, connection.local, tls_name(connection));
    stream.write_all(&header).await?;
    let handshake = http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(stream));
    let (sender, driver) = handshake.await?;
    // How it ends is told to whoever waits for the response.
    tokio::spawn(async move {
        let _ = driver.with_upgrades().await;
    });
    Ok(sender)
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
