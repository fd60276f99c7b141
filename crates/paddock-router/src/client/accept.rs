//! The public port: accepts clients, finds out by their first bytes what they speak, and serves HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::client::http::serve_http;
use crate::connection::clients::Place;
use crate::connection::router::Router;
use crate::connection::socket::Socket;
use crate::connection::stream::{First, Prefixed, read_first};
use crate::connection::{Connection, tls_version};
use crate::platform::rendezvous;
use crate::relay::turn::Paced;

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

async fn serve(router: Arc<Router>, stream: TcpStream, peer: SocketAddr, place: Place) {
    let Ok(local) = stream.local_addr() else { return };
    prepare(&stream);
    let socket = Arc::new(stream);
    let mut stream = Paced::new(Socket(socket.clone()));
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
        let (router, place, is_tunnelled) = (router.clone(), Arc::new(place), false);
        Arc::new(Connection { router, socket, peer, local, tls_version, is_tunnelled, place, stalled })
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

/// A first line without a space after its first word is a rendezvous secret. `docs/contract/heroku-cli.md`, 4.1.
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
