//! The control plane's connection to the router: adoption, route tables, acknowledgements.
//!
//! Both processes hold the listening sockets: while either lives, clients queue in the backlog and are not refused.
//! The router outlives `serve`; the next `serve` adopts it through its socket. Design, section 2.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use paddock_ipc::frame;
use paddock_ipc::routes::{FromRouter, Listener, RouteTable, ToRouter};

/// How long the router may take to answer one message.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a router process on sockets that are bound already. The binary knows how.
#[async_trait]
pub trait RouterStarter: Send + Sync {
    /// Starts a router that will answer on the control socket.
    async fn start(&self, listeners: &[(Listener, OwnedFd)]) -> io::Result<()>;
}

/// Why the router could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// Nobody answers on the router's socket.
    #[error("no router answers on {path}")]
    Away {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another instance's router, or one whose messages we do not speak.
    #[error("the router on {path} belongs to instance {instance} and speaks version {version}")]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// Its instance.
        instance: String,
        /// Its message version.
        version: u32,
    },
    /// It refused a message, or answered with another.
    #[error("the router refused: {0}")]
    Refused(String),
    /// The connection broke.
    #[error("could not talk to the router")]
    Talk(#[source] io::Error),
}

/// What a router said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterHello {
    /// The version of the program it runs.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// The generation of the table it uses.
    pub generation: u64,
    /// The addresses it listens on.
    pub listeners: Vec<Listener>,
}

/// The connection, made anew whenever it broke.
pub struct RouterLink {
    path: PathBuf,
    instance: String,
    stream: Arc<Mutex<Option<UnixStream>>>,
    /// Our own descriptors of the listening sockets.
    listeners: Mutex<Vec<(Listener, OwnedFd)>>,
}

impl RouterLink {
    /// A link to the router of `instance` at `path`; nothing is connected yet.
    #[must_use]
    pub fn new(path: PathBuf, instance: String) -> Self {
        Self { path, instance, stream: Arc::default(), listeners: Mutex::default() }
    }

    /// Connects to a router that runs, and takes duplicates of its listening sockets.
    ///
    /// # Errors
    /// [`RouterError::Away`] when none answers, [`RouterError::Foreign`] when it is not ours.
    pub async fn adopt(&self) -> Result<RouterHello, RouterError> {
        let (path, hello) = (self.path.clone(), self.hello());
        let connected = tokio::task::spawn_blocking(move || -> Result<_, RouterError> {
            // Only nobody at all is "away": a router that is slow to answer still holds the sockets.
            let stream = UnixStream::connect(&path).map_err(|source| RouterError::Away { path, source })?;
            let (answer, descriptors) = ask(&stream, &hello).map_err(RouterError::Talk)?;
            Ok((stream, answer, descriptors))
        });
        let (stream, answer, descriptors) =
            connected.await.map_err(|error| RouterError::Talk(io::Error::other(error)))??;
        let FromRouter::Hello { version, program, instance, pid, generation, listeners } = answer else {
            return Err(RouterError::Refused(format!("{answer:?}")));
        };
        if instance != self.instance || version != paddock_ipc::VERSION {
            return Err(RouterError::Foreign { path: self.path.clone(), instance, version });
        }
        if !descriptors.is_empty() {
            *lock(&self.listeners) = listeners.iter().cloned().zip(descriptors).collect();
        }
        *lock(&self.stream) = Some(stream);
        Ok(RouterHello { program, pid, generation, listeners })
    }

    /// Keeps sockets that we bound ourselves, for a router that is started on them.
    pub fn keep_listeners(&self, listeners: Vec<(Listener, OwnedFd)>) {
        *lock(&self.listeners) = listeners;
    }

    /// Takes the sockets we hold, for a router that is to listen elsewhere.
    #[must_use]
    pub fn take_listeners(&self) -> Vec<(Listener, OwnedFd)> {
        std::mem::take(&mut lock(&self.listeners))
    }

    /// Starts a router on the sockets we hold and adopts it.
    ///
    /// # Errors
    /// When it does not start or does not answer in time.
    pub async fn start(&self, starter: &dyn RouterStarter) -> Result<RouterHello, RouterError> {
        let copies = lock(&self.listeners)
            .iter()
            .map(|(listener, socket)| Ok((listener.clone(), socket.try_clone()?)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(RouterError::Talk)?;
        starter.start(&copies).await.map_err(RouterError::Talk)?;
        let deadline = tokio::time::Instant::now() + ANSWER_TIMEOUT;
        loop {
            match self.adopt().await {
                Err(RouterError::Away { .. }) if tokio::time::Instant::now() < deadline => {
                    // The router tells nobody when it is ready: its socket answering is the sign.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                result => return result,
            }
        }
    }

    /// Sends the whole route table; returns the generation in use afterwards.
    ///
    /// # Errors
    /// When the router is away or refuses.
    pub async fn send_routes(&self, table: RouteTable) -> Result<u64, RouterError> {
        match self.request(ToRouter::Routes(Box::new(table))).await? {
            FromRouter::Done { generation } => Ok(generation),
            FromRouter::Refused { reason } => Err(RouterError::Refused(reason)),
            other @ FromRouter::Hello { .. } => Err(RouterError::Refused(format!("{other:?}"))),
        }
    }

    /// Lets the router forget request records up to and including `seq`.
    ///
    /// # Errors
    /// When the router is away or refuses.
    pub async fn ack(&self, seq: u64) -> Result<(), RouterError> {
        self.request(ToRouter::Ack { seq }).await.map(|_| ())
    }

    /// Tells the router to finish and end.
    ///
    /// # Errors
    /// When the router is away.
    pub async fn stop(&self) -> Result<(), RouterError> {
        self.request(ToRouter::Stop).await.map(|_| ())
    }

    async fn request(&self, message: ToRouter) -> Result<FromRouter, RouterError> {
        let shared = self.stream.clone();
        let asked = tokio::task::spawn_blocking(move || -> io::Result<FromRouter> {
            let mut slot = lock(&shared);
            let stream = slot.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            match ask(stream, &message) {
                Ok((answer, _)) => Ok(answer),
                Err(error) => {
                    *slot = None;
                    Err(error)
                }
            }
        });
        asked.await.map_err(|error| RouterError::Talk(io::Error::other(error)))?.map_err(RouterError::Talk)
    }

    fn hello(&self) -> ToRouter {
        ToRouter::Hello { version: paddock_ipc::VERSION, instance: self.instance.clone() }
    }
}

fn ask(stream: &UnixStream, message: &ToRouter) -> io::Result<(FromRouter, Vec<OwnedFd>)> {
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    frame::send(stream.as_fd(), message, &[])?;
    frame::receive(stream.as_fd())?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
