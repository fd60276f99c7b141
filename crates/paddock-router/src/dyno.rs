//! A dyno that answers requests: its quarantine, its unused connections, and the choice among many.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use paddock_ipc::routes::DynoRoute;
use rustix::net::RecvFlags;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::config::Limits;
use crate::reader::Reader;
use crate::turn::Paced;

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

/// One of `dynos`, each equally likely, that is not in quarantine.
pub(crate) fn choose(dynos: &[Arc<Dyno>]) -> Option<&Arc<Dyno>> {
    let any = dynos.get(random_below(dynos.len())?)?;
    if any.quarantined_for().is_zero() {
        return Some(any);
    }
    let free = || dynos.iter().filter(|dyno| dyno.quarantined_for().is_zero());
    let count = free().count();
    // A quarantine may end between the two passes; whichever dyno is met then will do.
    free().nth(random_below(count)?).or_else(|| free().next())
}

/// Milliseconds since some moment of this process.
pub(crate) fn clock() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    // From 1, so that 0 can mean "never".
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX / 2) + 1
}

/// A number below `bound`; `None` when there is none. For spreading load, not for secrets.
fn random_below(bound: usize) -> Option<usize> {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8));
    }
    // splitmix64
    let mut mixed = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(mixed);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // The bias of the remainder is below one in 2^50 for any number of dynos.
    usize::try_from(mixed % u64::try_from(bound).ok().filter(|bound| *bound > 0)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dynos(count: usize) -> Vec<Arc<Dyno>> {
        let route = |n: usize| DynoRoute {
            name: format!("web.{n}"),
            id: n.to_string(),
            address: ([127, 0, 0, 1], 1).into(),
        };
        (0..count).map(|n| Arc::new(Dyno::new(&route(n)))).collect()
    }

    #[test]
    fn the_choice_is_about_even_and_leaves_out_quarantined_ones() {
        let dynos = dynos(4);
        let mut chosen = [0; 4];
        for _ in 0..4000 {
            let id: usize = choose(&dynos).unwrap().id.parse().unwrap();
            chosen[id] += 1;
        }
        assert!(chosen.iter().all(|count| (800..1200).contains(count)), "{chosen:?}");

        let limits = Limits::heroku();
        for dyno in &dynos[..3] {
            dyno.quarantine(&limits);
        }
        assert!((0..100).all(|_| choose(&dynos).unwrap().id == "3"));
        dynos[3].quarantine(&limits);
        assert!(choose(&dynos).is_none());
        assert!(choose(&[]).is_none());
    }
}
