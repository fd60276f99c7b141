//! The public port: accepts clients, finds out by their first bytes what they speak, and serves HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::body::ResponseBody;
use crate::clients::Place;
use crate::router::Router;
use crate::stream::{First, Prefixed, Watched, read_first};
use crate::table::{self, Destination};
use crate::{app, header, page, platform, proxy_form, rendezvous};

/// What is known of a client's connection.
pub(crate) struct Connection {
    pub(crate) router: Arc<Router>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// `tls1.2` or `tls1.3`; `None` without TLS.
    pub(crate) tls_version: Option<&'static str>,
    /// It is inside a `CONNECT` of the proxy form, which leads to the platform alone.
    pub(crate) is_tunnelled: bool,
    /// Its place among the clients, shared with what it becomes.
    pub(crate) place: Arc<Place>,
    /// The client took nothing for too long.
    pub(crate) stalled: AtomicBool,
}

impl Connection {
    /// The connection inside a tunnel on this one.
    pub(crate) fn tunnelled(outer: &Self, tls_version: &'static str) -> Self {
        let (router, stalled) = (outer.router.clone(), AtomicBool::new(false));
        let (peer, local, place) = (outer.peer, outer.local, outer.place.clone());
        Self { router, peer, local, tls_version: Some(tls_version), is_tunnelled: true, place, stalled }
    }

    /// How long it may stay without a request.
    fn idle(&self) -> Duration {
        let limits = &self.router.config.limits;
        if self.place.is_surplus { limits.surplus_idle } else { limits.client_idle }
    }
}

/// The client's connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the request was broken off")]
pub(crate) struct Aborted;

/// Accepts clients until the router is told to stop.
pub(crate) async fn accept(router: Arc<Router>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = router.stop.leaving() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = router.clients.admit(peer.ip(), &router.config.limits) else { continue };
                router.tasks.spawn(serve(router.clone(), stream, peer, place));
            }
            Err(error) => {
                // Usually out of descriptors: clients wait in the backlog until some are free again.
                tracing::warn!(%error, "could not accept a client");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What a client speaks on the public port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Tls,
    Ssh,
    Http,
}

async fn serve(router: Arc<Router>, mut stream: TcpStream, peer: SocketAddr, place: Place) {
    let Ok(local) = stream.local_addr() else { return };
    prepare(&stream);
    let limits = &router.config.limits;
    let idle = if place.is_surplus { limits.surplus_idle } else { limits.client_idle };
    let first = read_first(&mut stream, idle, limits.handshake, FIRST_BYTES_MAX, speaks);
    let decided = tokio::select! {
        decided = first => decided,
        () = router.stop.draining() => return,
    };
    let Some((speaks, prefix)) = decided else { return };
    let stream = Prefixed::new(prefix, stream);
    let connection = |tls_version| {
        let stalled = AtomicBool::new(false);
        let (router, place) = (router.clone(), Arc::new(place));
        Arc::new(Connection { router, peer, local, tls_version, is_tunnelled: false, place, stalled })
    };
    match speaks {
        Speaks::Http => serve_http(stream, connection(None)).await,
        Speaks::Ssh => tracing::info!(client.address = %peer.ip(), "closed an SSH connection: not built"),
        Speaks::Tls => {
            let handshake = router.certificates.acceptor_at(local.ip()).accept(stream);
            let Ok(Ok(stream)) = tokio::time::timeout(limits.handshake, handshake).await else { return };
            let version = tls_version(stream.get_ref().1);
            serve_tls(stream, connection(Some(version))).await;
        }
    }
}

/// The version of a connection's TLS, as records name it.
pub(crate) fn tls_version(session: &rustls::ServerConnection) -> &'static str {
    match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "tls1.3",
        _ => "tls1.2",
    }
}

/// Small answers leave at once; a client that vanished is found out.
fn prepare(stream: &TcpStream) {
    // On a socket that is gone already all of these fail, and the first read says so.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(stream, true);
    let _ = rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(60));
    let _ = rustix::net::sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15));
}

const FIRST_BYTES_MAX: usize = 16;
const TLS_HANDSHAKE: u8 = 0x16;
const SSH: &[u8] = b"SSH-2.0-";

fn speaks(bytes: &[u8]) -> First<Speaks> {
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        First::Is(Speaks::Tls)
    } else if bytes.starts_with(SSH) {
        First::Is(Speaks::Ssh)
    } else if SSH.starts_with(bytes) {
        First::Undecided
    } else {
        First::Is(Speaks::Http)
    }
}

/// What is spoken inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Http,
    Rendezvous,
}

/// The longest rendezvous secret with its line end; a request line is known by its first space long before.
const SECRET_BYTES_MAX: usize = 2048;

/// A first line without a space after its first word is a rendezvous secret. Source: contract `heroku-cli.md`, 4.1.
fn inside(bytes: &[u8]) -> First<Inside> {
    match bytes.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n')) {
        None => First::Undecided,
        // An empty line before a request is allowed, an empty secret is not.
        Some(0) => First::Is(Inside::Http),
        Some(at) if bytes[at] == b' ' => First::Is(Inside::Http),
        Some(_) => First::Is(Inside::Rendezvous),
    }
}

async fn serve_tls<S>(mut stream: S, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = connection.router.clone();
    let limits = &router.config.limits;
    let first = read_first(&mut stream, connection.idle(), limits.handshake, SECRET_BYTES_MAX, inside);
    let decided = tokio::select! {
        decided = first => decided,
        () = router.stop.draining() => return,
    };
    match decided {
        Some((Inside::Http, prefix)) => serve_http(Prefixed::new(prefix, stream), connection).await,
        Some((Inside::Rendezvous, _)) if connection.place.is_surplus => {}
        Some((Inside::Rendezvous, prefix)) => rendezvous::serve(prefix, stream, &connection).await,
        None => {}
    }
}

/// More than the contract allows, so that the answer to one too many is ours (400).
const HEADERS_MAX: usize = 1100;
/// Bytes of a request's head, and of a response that waits for its client (contract, section 1, "Buffers").
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// Serves HTTP on a stream until it ends.
pub(crate) async fn serve_http<S>(stream: S, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = connection.router.clone();
    let io = TokioIo::new(Watched::new(stream, connection.clone()));
    let idle = connection.idle();
    let service = service_fn(move |request| answer_on(connection.clone(), request));
    let serving = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(io, service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    // How a client's connection ends is in the record of its last request.
    tokio::select! {
        _ = serving.as_mut() => return,
        () = router.stop.draining() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = serving => {}
        () = router.stop.forced() => {}
    }
}

/// The answer, the connection's last one when the router leaves (its client comes back to another router), or when
/// there are too many clients.
async fn answer_on(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Aborted> {
    let (router, is_connect) = (connection.router.clone(), request.method() == Method::CONNECT);
    let is_surplus = connection.place.is_surplus;
    let mut answered = answer(connection, request).await;
    if (is_surplus || router.stop.is_leaving())
        && let Ok(response) = &mut answered
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
        && !is_connect
    {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answered
}

const TOO_MANY: &str = "Too many clients are connected. Please try again in a few seconds.";

async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Aborted> {
    if request.method() == Method::CONNECT && connection.place.is_surplus {
        return Ok(page::refusal(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY));
    }
    if request.method() == Method::CONNECT {
        return Ok(proxy_form::answer(&connection, request));
    }
    if let Some(limit) = header::broken_limit(&request) {
        return Ok(page::refusal(StatusCode::BAD_REQUEST, &format!("The {limit} is too long.")));
    }
    let host = header::host(&request);
    let name = host.as_ref().and_then(|host| host.to_str().ok()).and_then(table::host_name);
    let (Some(host), Some(name)) = (&host, name) else {
        return Ok(page::refusal(StatusCode::BAD_REQUEST, "The request has no valid Host."));
    };
    if connection.is_tunnelled {
        return match paddock_core::proxy_form::host(&name) {
            Some(_) => platform::answer(&connection, request).await,
            None => Ok(page::refusal(
                StatusCode::MISDIRECTED_REQUEST,
                "The proxy form leads to the platform alone.",
            )),
        };
    }
    match connection.router.destination(&name).await {
        Some(Destination::Platform) if connection.place.is_surplus => Ok(page::unavailable(TOO_MANY)),
        Some(Destination::Platform) => platform::answer(&connection, request).await,
        Some(Destination::App(app)) => app::answer(connection, app, host.clone(), request).await,
        Some(Destination::Unknown) => Ok(page::no_such_app(&name)),
        None => Ok(page::unavailable("The platform is starting. Please try again in a few seconds.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        let decided = |bytes: &[u8]| match speaks(bytes) {
            First::Is(speaks) => Some(speaks),
            First::Undecided => None,
        };
        assert_eq!(decided(b"\x16\x03"), Some(Speaks::Tls));
        assert_eq!(decided(b"S"), None);
        assert_eq!(decided(b"SSH-2.0-x"), Some(Speaks::Ssh));
        assert_eq!(decided(b"SEARCH /"), Some(Speaks::Http));
        assert_eq!(decided(b"G"), Some(Speaks::Http));
    }

    #[test]
    fn a_line_without_a_space_is_a_secret() {
        let decided = |bytes: &[u8]| match inside(bytes) {
            First::Is(inside) => Some(inside),
            First::Undecided => None,
        };
        assert_eq!(decided(b"GET / HTTP/1.1\r\n"), Some(Inside::Http));
        assert_eq!(decided(b"\r\nGET / HTTP/1.1\r\n"), Some(Inside::Http));
        assert_eq!(decided(b"tok?x=1"), None);
        assert_eq!(decided(b"tok?x=1\r\n"), Some(Inside::Rendezvous));
    }
}
