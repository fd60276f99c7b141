//! What lies between a client and a server: it comes from another address, or cuts a connection off.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

/// TLS (three), start, SCRAM (two).
const BEGINNING: usize = 6;

pub(crate) struct Proxy {
    address: SocketAddr,
    left: Arc<AtomicUsize>,
    accepts: JoinHandle<()>,
}

impl Proxy {
    /// Connects to the server from `source`. With `messages` it passes so many on, over all connections, and then ends them:
    /// the server has seen the last one, and the client no answer. Those by which a connection begins are not counted: they do
    /// nothing.
    pub(crate) async fn start(server: SocketAddr, source: Ipv4Addr, messages: Option<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(AtomicUsize::new(messages.unwrap_or(usize::MAX)));
        let shared = Arc::clone(&left);
        let accepts = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::new(source.into(), 0)).unwrap();
                let server = socket.connect(server).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let left = Arc::clone(&shared);
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(from_client, to_server, Some(&left)) => {}
                        () = pass(from_server, to_client, None) => {}
                    }
                });
            }
        });
        Self { address, left, accepts }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it cut something off.
    pub(crate) fn has_cut(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// A client sends its next message when it has the answer to the one before: what comes at once is one.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: Option<&AtomicUsize>) {
    let mut buffer = vec![0; 64 << 10];
    for message in 1_usize.. {
        let length = match from.read(&mut buffer).await {
            Ok(length) if length > 0 => length,
            _ => return,
        };
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        let spent = left.filter(|_| message > BEGINNING).map(|left| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)))
        });
        if spent.is_some_and(|spent| spent.is_ok_and(|before| before <= 1)) {
            return;
        }
    }
}
