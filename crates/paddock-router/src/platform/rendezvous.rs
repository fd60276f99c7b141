//! Rendezvous connections (`heroku run`): TLS ends here, everything else is `serve`'s.

use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use paddock_ipc::proxy_header;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::connection::Connection;
use crate::connection::stream::Prefixed;
use crate::platform;
use crate::relay::reader::Reader;
use crate::relay::tunnel;
use crate::relay::turn::Paced;

/// Passes a stream, with the secret that was read from it, to `serve`, and bytes both ways until it ends.
pub(crate) async fn serve<S>(secret: Bytes, client: S, connection: &Connection)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = &connection.router.config;
    let Ok(serve) = platform::connect(&config.rendezvous_socket, config.limits.serve_wait).await else {
        tracing::warn!("closed a rendezvous connection: serve is away");
        return;
    };
    let (read, mut write) = serve.into_split();
    let header = proxy_header::encode(connection.peer, connection.local, platform::tls_name(connection));
    if write.write_all(&header).await.is_err() {
        return;
    }
    let (client_read, mut client_write) = tokio::io::split(Prefixed::new(secret, client));
    let (mut client_read, mut read) = (Reader::new(client_read), Reader::new(Paced::new(read)));
    let client = (&mut client_read, &mut client_write);
    let down = AtomicU64::new(0);
    tokio::select! {
        _ = tunnel::run(client, (&mut read, &mut write), config.limits.rendezvous_idle, &down) => {}
        () = connection.router.stop.forced() => {}
    }
}
