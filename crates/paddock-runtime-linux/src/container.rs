//! What the runtime knows of one container: a lock, and a wake-up from its shim.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use paddock_core::{ContainerId, UnixMicros};
use paddock_ipc::frame;
use paddock_runtime::{ContainerState, Exit, Observed};
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::client;
use crate::protocol::{FromShim, ToShim};
use crate::record::Folder;

/// How soon a lost subscription is tried again while the shim lives.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// One container, for as long as this runtime knows its id.
#[derive(Debug)]
pub(crate) struct Known {
    /// Held while the container is started or removed.
    pub(crate) changing: tokio::sync::Mutex<()>,
    wake: watch::Sender<()>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

impl Known {
    pub(crate) fn new() -> Self {
        Self {
            changing: tokio::sync::Mutex::new(()),
            wake: watch::Sender::new(()),
            watcher: Mutex::new(None),
        }
    }

    /// Changes whenever there may be new output or an end.
    pub(crate) fn wakes(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    /// Wakes whoever waits.
    pub(crate) fn wake(&self) {
        self.wake.send_replace(());
    }

    /// Begins to listen to the shim; does so once.
    #[expect(clippy::disallowed_methods, reason = "it ends with what it watches")]
    pub(crate) fn listen(self: &Arc<Self>, folder: Folder, changed: Arc<Changed>) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_none() {
            *watcher = Some(tokio::spawn(listen(Arc::downgrade(self), folder, changed)));
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let watcher = self.watcher.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            watcher.abort();
        }
    }
}

/// Wakes everybody who waits for a change of any container, and the next one who comes to wait.
#[derive(Debug, Default)]
pub(crate) struct Changed(Notify);

impl Changed {
    pub(crate) fn notify(&self) {
        self.0.notify_waiters();
        self.0.notify_one();
    }

    pub(crate) async fn wait(&self) {
        self.0.notified().await;
    }
}

async fn listen(known: std::sync::Weak<Known>, folder: Folder, changed: Arc<Changed>) {
    loop {
        let _ = wakes(&known, &folder, &changed).await;
        let Some(known) = known.upgrade() else { return };
        known.wake();
        changed.notify();
        if is_over(&folder) {
            return;
        }
        drop(known);
        tokio::time::sleep(SUBSCRIBE_AGAIN).await;
    }
}

/// Passes wake-ups on until the connection ends.
async fn wakes(known: &std::sync::Weak<Known>, folder: &Folder, changed: &Changed) -> io::Result<()> {
    let socket = client::connect(folder)?;
    frame::send(socket.as_fd(), &ToShim::Subscribe, &[])?;
    socket.set_nonblocking(true)?;
    let mut socket = tokio::net::UnixStream::from_std(socket)?;
    let (mut received, mut was_ended) = (Vec::new(), false);
    loop {
        let mut buffer = [0; 1024];
        match socket.read(&mut buffer).await? {
            0 => return Ok(()),
            count => received.extend_from_slice(&buffer[..count]),
        }
        let Some(known) = known.upgrade() else { return Ok(()) };
        while let Some(message) = frame::decode::<FromShim>(&mut received)? {
            let ended = matches!(message, FromShim::Wake { ended: true });
            if ended && !was_ended {
                changed.notify();
            }
            was_ended |= ended;
        }
        known.wake();
    }
}

/// Whether no more output can come: the container has ended, or what watched over it is gone.
pub(crate) fn is_over(folder: &Folder) -> bool {
    match folder.exit() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => !is_watched_or_starting(folder),
        // It is there; also when it cannot be read.
        _ => true,
    }
}

fn is_watched_or_starting(folder: &Folder) -> bool {
    match folder.state() {
        Ok(state) => state.shim.is_alive(),
        Err(_) => folder.0.exists(),
    }
}

/// Whether the shim lives: its socket answers, and it is the process that was written down.
pub(crate) fn has_shim(folder: &Folder) -> bool {
    folder.state().is_ok_and(|state| state.shim.is_alive()) && client::is_answered(folder)
}

/// The container of a folder as it is now. One whose specification cannot be read (after a power cut) is there all
/// the same, and nothing is known of it.
pub(crate) fn observe(id: ContainerId, folder: &Folder) -> Observed {
    let (spec, state) = (folder.spec(), folder.state());
    // The exit first: a shim that ends between two questions has written it before.
    let state_now = match folder.exit() {
        Ok(exit) => ended(exit),
        Err(_) if state.as_ref().is_ok_and(|state| state.init.is_some()) && has_shim(folder) => {
            // A second look: it may have ended after the first.
            folder.exit().map_or(ContainerState::Running, ended)
        }
        Err(_) => folder.exit().map_or(ContainerState::Unknown, ended),
    };
    let Ok(spec) = spec else {
        let (labels, started_at) = (std::collections::BTreeMap::new(), UnixMicros(0));
        return Observed { id, labels, state: ContainerState::Unknown, started_at, address: None };
    };
    Observed {
        id,
        labels: spec.labels,
        state: state_now,
        started_at: UnixMicros(state.map_or(spec.created_at, |state| state.started_at)),
        address: spec.network.map(|network| network.address.into()),
    }
}

fn ended(exit: crate::record::ExitRecord) -> ContainerState {
    let crate::record::ExitRecord { status, out_of_memory, killed_after_grace, at } = exit;
    ContainerState::Exited { exit: Exit { status, out_of_memory, killed_after_grace }, at: UnixMicros(at) }
}
