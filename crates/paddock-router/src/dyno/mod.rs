//! A dyno that answers requests: its quarantine and its unused connections.

pub(crate) mod choice;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use paddock_ipc::routes::DynoRoute;
use rustix::net::RecvFlags;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::clock::clock;
use crate::limits::Limits;
use crate::relay::reader::Reader;
use crate::relay::turn::Paced;

/// A connection over which one request at a time is sent.
pub(crate) struct DynoStream {
    pub(crate) reader: Reader<Paced<OwnedReadHalf>>,
    pub(crate) writer: OwnedWriteHalf,
}

impl DynoStream {
    /// Whether nothing came since the last response, not even the end.
    fn is_unused(&self) -> bool {
        let socket: &TcpStream = self.reader.get_ref().get_ref().as_ref();
        let peeked = rustix::net::recv(socket, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.reader.buffer.is_empty() && matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }
}

/// One dyno that is up.
pub(crate) struct Dyno {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// Milliseconds of [`clock`] until which it gets no requests.
    quarantined_until: AtomicU64,
    retired: AtomicBool,
    unused: Mutex<Vec<Unused>>,
}

struct Unused {
    stream: DynoStream,
    since: Instant,
}

/// Why no connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectFailed {
    /// It took too long (H19).
    TimedOut,
    /// It was refused, or the address cannot be reached (H21).
    Refused,
}

impl Dyno {
    pub(crate) fn new(route: &DynoRoute) -> Self {
        Self {
            id: route.id.clone(),
            name: route.name.clone(),
            address: route.address,
            quarantined_until: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            unused: Mutex::default(),
        }
    }

    /// A connection that was used before and is still open.
    pub(crate) fn reuse(&self, limits: &Limits) -> Option<DynoStream> {
        let mut unused = self.unused();
        // The newest first: the older ones may then come of age and be closed.
        while let Some(Unused { stream, since }) = unused.pop() {
            if since.elapsed() < limits.dyno_keep_alive && stream.is_unused() {
                return Some(stream);
            }
        }
        None
    }

    /// A new connection.
    pub(crate) async fn connect(&self, limits: &Limits) -> Result<DynoStream, ConnectFailed> {
        let connecting = tokio::time::timeout(limits.connect, TcpStream::connect(self.address));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                return Err(ConnectFailed::TimedOut);
            }
            Ok(Err(_)) => return Err(ConnectFailed::Refused),
            Err(_) => return Err(ConnectFailed::TimedOut),
        };
        // Small writes leave at once; a socket that is gone already shows at the first write.
        let _ = stream.set_nodelay(true);
        let (read, writer) = stream.into_split();
        Ok(DynoStream { reader: Reader::new(Paced::new(read)), writer })
    }

    /// Keeps a connection whose response has ended. Not for one that will be closed: it is found closed later.
    pub(crate) fn keep(&self, mut stream: DynoStream) {
        if !self.retired.load(Ordering::Acquire) {
            stream.reader.rest();
            self.unused().push(Unused { stream, since: Instant::now() });
        }
    }

    /// Closes connections that were not used for as long as they are kept, or that the dyno closed.
    pub(crate) fn close_aged(&self, limits: &Limits) {
        self.unused()
            .retain(|unused| unused.since.elapsed() < limits.dyno_keep_alive && unused.stream.is_unused());
    }

    /// It is in no table any more: no connection is kept from now on.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.unused().clear();
    }

    /// Sends it nothing for a while, because it refused.
    pub(crate) fn quarantine(&self, limits: &Limits) {
        let until = clock() + u64::try_from(limits.quarantine.as_millis()).unwrap_or(u64::MAX / 2);
        self.quarantined_until.store(until, Ordering::Relaxed);
    }

    /// How long it still gets nothing; zero when it may.
    pub(crate) fn quarantined_for(&self) -> Duration {
        let until = self.quarantined_until.load(Ordering::Relaxed);
        if until == 0 { Duration::ZERO } else { Duration::from_millis(until.saturating_sub(clock())) }
    }

    fn unused(&self) -> MutexGuard<'_, Vec<Unused>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
