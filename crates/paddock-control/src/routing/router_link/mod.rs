//! The control plane's connection to the router: adoption, replacement, route tables, acknowledgements.
//!
//! Both processes hold the listening sockets: while either lives, clients queue in the backlog and are not refused.
//! The router outlives `serve`; the next `serve` adopts it through its socket, or, being of another build, starts its
//! own on the same sockets and has the old one retire. A router that retires keeps its clients, and so gets every
//! table until the last of them has gone.
//!
//! The router in use answers on `router.sock`. Before another takes its place its socket is moved aside, to
//! `router-PID.sock`: there it is found again by a `serve` that starts after a crash in the middle.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::durable;
use paddock_ipc::frame;
use paddock_ipc::routes::{AppChange, FromRouter, Listener, RouteTable, ToRouter};
use uuid::Uuid;

use crate::kernel::error::chain;

/// How long the router may take to answer one message.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a router process on sockets that are bound already. The binary knows how.
#[async_trait]
pub trait RouterStarter: Send + Sync {
    /// Starts a router that will answer on the routing socket; its process id.
    async fn start(&self, listeners: &[(Listener, OwnedFd)]) -> io::Result<u32>;

    /// Ends a router that was started and does not answer.
    fn kill(&self, pid: u32);
}

/// Why the router could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// Nobody answers on the router's socket.
    #[error("no router answers on {path}")]
    Away {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another instance's router, or one whose messages we do not speak.
    #[error("the router on {path} belongs to instance {instance} and speaks version {version}")]
    Foreign { path: PathBuf, instance: String, version: u32 },
    /// It refused a message, or answered with another.
    #[error("the router refused: {0}")]
    Refused(String),
    #[error("could not talk to the router")]
    Talk(#[source] io::Error),
}

/// What a router said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterHello {
    pub program: String,
    pub pid: u32,
    /// The generation of the table it uses.
    pub generation: u64,
    pub listeners: Vec<Listener>,
}

/// One router that answers.
struct Connected {
    stream: UnixStream,
    path: PathBuf,
    version: u32,
    pid: u32,
    /// The name of its spool.
    spool: Option<Uuid>,
    /// The generation of the table that it had when it was greeted.
    generation: u64,
}

/// The routers we talk to.
#[derive(Default)]
struct Routers {
    /// The one that takes clients.
    current: Option<Connected>,
    /// Those that only finish with theirs.
    retiring: Vec<Connected>,
}

/// A router that was greeted, and what it answered.
struct Greeted {
    router: Connected,
    hello: RouterHello,
    sockets: Vec<OwnedFd>,
    retiring: bool,
}

/// The connection, made anew whenever it broke.
pub struct RouterLink {
    path: PathBuf,
    instance: String,
    routers: Arc<Mutex<Routers>>,
    /// Our own descriptors of the listening sockets.
    listeners: Mutex<Vec<(Listener, OwnedFd)>>,
}

impl RouterLink {
    /// A link to the router of `instance` at `path`; nothing is connected yet.
    #[must_use]
    pub fn new(path: PathBuf, instance: String) -> Self {
        Self { path, instance, routers: Arc::default(), listeners: Mutex::default() }
    }

    /// Connects to a router that runs, and takes duplicates of its listening sockets. Finds those that retire as well.
    ///
    /// # Errors
    /// [`RouterError::Away`] when none takes clients, [`RouterError::Foreign`] when it is not ours.
    pub async fn adopt(&self) -> Result<RouterHello, RouterError> {
        let (path, instance) = (self.path.clone(), self.instance.clone());
        let (current, retiring) = blocking(move || Ok(find(&path, &instance))).await?;
        lock(&self.routers).retiring = retiring;
        current.map(|greeted| self.make_current(greeted))
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
    /// When it does not start or does not answer in time; it is ended then.
    pub async fn start(&self, starter: &dyn RouterStarter) -> Result<RouterHello, RouterError> {
        let copies = lock(&self.listeners)
            .iter()
            .map(|(listener, socket)| Ok((listener.clone(), socket.try_clone()?)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(RouterError::Talk)?;
        let pid = starter.start(&copies).await.map_err(RouterError::Talk)?;
        let (path, instance) = (self.path.clone(), self.instance.clone());
        // The socket takes connections already; the answer comes when the process is ready.
        match blocking(move || greet(&path, &instance)).await {
            Ok(greeted) => Ok(self.make_current(greeted)),
            Err(error) => {
                starter.kill(pid);
                Err(error)
            }
        }
    }

    /// Starts a router on the sockets of the adopted one, which then retires. When it does not start, the adopted one
    /// goes on as if nothing had been.
    ///
    /// # Errors
    /// As [`Self::start`]; or when none was adopted.
    pub async fn replace(&self, starter: &dyn RouterStarter) -> Result<RouterHello, RouterError> {
        let old = lock(&self.routers).current.take();
        let mut old = old.ok_or_else(|| RouterError::Talk(io::ErrorKind::NotConnected.into()))?;
        old.path = self.path.with_file_name(format!("{ASIDE}{}.sock", old.pid));
        durable!("router.put_aside", std::fs::rename(&self.path, &old.path)).map_err(RouterError::Talk)?;
        match self.start(starter).await {
            Ok(hello) => {
                let routers = self.routers.clone();
                blocking(move || {
                    lock(&routers).retiring.extend(retire(old));
                    Ok(())
                })
                .await?;
                Ok(hello)
            }
            Err(error) => {
                durable!("router.put_back", std::fs::rename(&old.path, &self.path))
                    .map_err(RouterError::Talk)?;
                old.path.clone_from(&self.path);
                lock(&self.routers).current = Some(old);
                Err(error)
            }
        }
    }

    /// The generation of the table that the router had when we met it; 0 without one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        lock(&self.routers).current.as_ref().map_or(0, |router| router.generation)
    }

    /// Whether the router answers. Those that have retired and ended are forgotten.
    pub async fn ping(&self) -> Result<(), RouterError> {
        let routers = self.routers.clone();
        blocking(move || {
            let mut routers = lock(&routers);
            let nothing = |router: &Connected| ask(&router.stream, &ToRouter::Ack { seq: 0 });
            routers.retiring.retain(|router| is_there(router, nothing));
            ask_current(&mut routers, nothing).map(|_| ())
        })
        .await
    }

    /// Sends the routes, also to routers that retire: the change that made the table to whom it follows, the whole table
    /// to others. Returns the generation in use afterwards.
    ///
    /// # Errors
    /// When the router is away or refuses.
    pub async fn send_routes(
        &self,
        table: Arc<RouteTable>,
        change: Option<AppChange>,
    ) -> Result<u64, RouterError> {
        let routers = self.routers.clone();
        let answer = blocking(move || {
            let tell = |router: &Connected| tell(router, &table, change.as_ref());
            let mut routers = lock(&routers);
            let answer = ask_current(&mut routers, tell)?;
            routers.retiring.retain(|router| is_there(router, tell));
            Ok(answer)
        });
        match answer.await? {
            FromRouter::Done { generation } => Ok(generation),
            FromRouter::Refused { reason } => Err(RouterError::Refused(reason)),
            other @ (FromRouter::Hello { .. } | FromRouter::Gap { .. }) => {
                Err(RouterError::Refused(format!("{other:?}")))
            }
        }
    }

    /// Lets the router that writes this spool forget records up to and including `seq`. Nobody writes a spool whose
    /// router has ended.
    ///
    /// # Errors
    /// When the router is away or refuses.
    pub async fn ack(&self, spool: Option<Uuid>, seq: u64) -> Result<(), RouterError> {
        let routers = self.routers.clone();
        blocking(move || {
            let routers = lock(&routers);
            let mut all = routers.current.iter().chain(&routers.retiring);
            let Some(writer) = all.find(|router| router.spool == spool) else { return Ok(()) };
            ask(&writer.stream, &ToRouter::Ack { seq }).map(|_| ()).map_err(RouterError::Talk)
        })
        .await
    }

    /// Tells every router to finish and end.
    ///
    /// # Errors
    /// When the one that takes clients is away.
    pub async fn stop(&self) -> Result<(), RouterError> {
        let routers = self.routers.clone();
        blocking(move || {
            let mut routers = lock(&routers);
            let stop = |router: &Connected| ask(&router.stream, &ToRouter::Stop);
            routers.retiring.retain(|router| is_there(router, stop));
            ask_current(&mut routers, stop).map(|_| ())
        })
        .await
    }

    fn make_current(&self, greeted: Greeted) -> RouterHello {
        let Greeted { router, hello, sockets, .. } = greeted;
        if !sockets.is_empty() {
            *lock(&self.listeners) = hello.listeners.iter().cloned().zip(sockets).collect();
        }
        lock(&self.routers).current = Some(router);
        hello
    }
}

/// What the name of a socket that was moved aside begins with.
const ASIDE: &str = "router-";

/// The router that takes clients, and those that retire. One that was moved aside and told nothing yet takes clients
/// where no other does, and is told to retire where one does: a `serve` ended in the middle of replacing it.
fn find(path: &Path, instance: &str) -> (Result<Greeted, RouterError>, Vec<Connected>) {
    let mut aside = Vec::new();
    for socket in sockets_aside(path) {
        match greet(&socket, instance) {
            Ok(found) => aside.push(found),
            Err(RouterError::Away { .. }) => {
                drop(durable!("router.dead_socket_removed", std::fs::remove_file(&socket)));
            }
            Err(error) => tracing::debug!(error = chain(&error), "a router that was replaced does not talk"),
        }
    }
    let mut current = greet(path, instance);
    if matches!(current, Err(RouterError::Away { .. }))
        && let Some(at) = aside.iter().position(|found| !found.retiring)
    {
        let mut found = aside.swap_remove(at);
        if let Err(error) = durable!("router.taken_back", std::fs::rename(&found.router.path, path)) {
            return (Err(RouterError::Talk(error)), Vec::new());
        }
        path.clone_into(&mut found.router.path);
        current = Ok(found);
    }
    let retiring = aside.into_iter();
    let retiring = retiring
        .filter_map(|found| if found.retiring { Some(found.router) } else { retire(found.router) })
        .collect();
    (current, retiring)
}

fn sockets_aside(path: &Path) -> Vec<PathBuf> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(ASIDE) && name.ends_with(".sock"))
    };
    paths.filter(is_aside).collect()
}

/// Has a router retire; `None` when it could not be told, which is tried again by whoever finds it next.
fn retire(router: Connected) -> Option<Connected> {
    match ask(&router.stream, &ToRouter::Retire) {
        Ok(_) => Some(router),
        Err(error) => {
            tracing::warn!(%error, "could not tell the router (process {}) that another took its place", router.pid);
            None
        }
    }
}

/// Connects to the router on a socket and says hello.
fn greet(path: &Path, instance: &str) -> Result<Greeted, RouterError> {
    // Only nobody at all is "away": a router that is slow to answer still holds the sockets.
    let stream =
        UnixStream::connect(path).map_err(|source| RouterError::Away { path: path.to_owned(), source })?;
    let ours = ToRouter::Hello { version: paddock_ipc::VERSION, instance: instance.to_owned() };
    let (answer, sockets) = ask_for_sockets(&stream, &ours).map_err(RouterError::Talk)?;
    let FromRouter::Hello { version, program, instance: theirs, pid, generation, listeners, spool, retiring } =
        answer
    else {
        return Err(RouterError::Refused(format!("{answer:?}")));
    };
    if theirs != instance || !paddock_ipc::SPOKEN.contains(&version) {
        return Err(RouterError::Foreign { path: path.to_owned(), instance: theirs, version });
    }
    let hello = RouterHello { program, pid, generation, listeners };
    let spool = spool.and_then(|name| Uuid::try_parse(&name).ok());
    let router = Connected { stream, path: path.to_owned(), version, pid, spool, generation };
    Ok(Greeted { router, hello, sockets, retiring })
}

/// The first version that takes the change of one app.
const CHANGES_SINCE: u32 = 3;

/// Tells a router of a change, or of everything where it does not know that message or has another table.
fn tell(router: &Connected, table: &RouteTable, change: Option<&AppChange>) -> io::Result<FromRouter> {
    if let Some(change) = change.filter(|_| router.version >= CHANGES_SINCE) {
        match ask(&router.stream, &ToRouter::App(Box::new(change.clone())))? {
            FromRouter::Gap { generation } => {
                tracing::info!(generation, "the router (process {}) gets all routes", router.pid);
            }
            answer => return Ok(answer),
        }
    }
    let table = match router.version {
        CHANGES_SINCE.. => table.clone(),
        _ => table.clone().with_one_list_of_hosts(),
    };
    ask(&router.stream, &ToRouter::Routes(Box::new(table)))
}

/// Asks the router that takes clients. A connection that broke is not used again.
fn ask_current(
    routers: &mut Routers,
    ask: impl FnOnce(&Connected) -> io::Result<FromRouter>,
) -> Result<FromRouter, RouterError> {
    let away = || RouterError::Talk(io::ErrorKind::NotConnected.into());
    let answer = ask(routers.current.as_ref().ok_or_else(away)?);
    if answer.is_err() {
        routers.current = None;
    }
    answer.map_err(RouterError::Talk)
}

/// Whether a router that retires takes a message; once it has ended its socket goes.
fn is_there(router: &Connected, ask: impl FnOnce(&Connected) -> io::Result<FromRouter>) -> bool {
    let answer = ask(router);
    if let Err(error) = &answer {
        tracing::info!(%error, "the router that was replaced (process {}) has ended", router.pid);
        // Found again, and removed again, if this fails.
        let _ = durable!("router.socket_removed", std::fs::remove_file(&router.path));
    }
    answer.is_ok()
}

fn ask(stream: &UnixStream, message: &ToRouter) -> io::Result<FromRouter> {
    ask_for_sockets(stream, message).map(|(answer, _)| answer)
}

fn ask_for_sockets(stream: &UnixStream, message: &ToRouter) -> io::Result<(FromRouter, Vec<OwnedFd>)> {
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    frame::send(stream.as_fd(), message, &[])?;
    frame::receive(stream.as_fd())?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RouterError> + Send + 'static,
) -> Result<T, RouterError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RouterError::Talk(io::Error::other(error)))?
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
