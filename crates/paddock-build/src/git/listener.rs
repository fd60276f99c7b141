//! The server's side of the hook: pushes that wait for an answer.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use paddock_core::{AccountId, AppId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::GitError;
use super::hook::{FRAME_BYTES_MAX, HookRequest, PROGRESS, RESULTS};
use super::push::{PushResult, RefCommand};

/// The longest request of a hook, in bytes: 10,000 commands fit.
const REQUEST_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How long a hook may take to say what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Progress that waits for a slow pusher, in pieces; what comes then is not shown (the build keeps its own log).
const PROGRESS_WAITING_MAX: usize = 4_096;

/// Who pushes, as known from the HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pusher {
    pub account: AccountId,
    /// The id of the HTTP request.
    pub request_id: String,
}

/// The pushes that are being received, by the token their hook will show.
#[derive(Debug, Clone, Default)]
pub(super) struct Pushes(Arc<Mutex<HashMap<String, (AppId, Pusher)>>>);

impl Pushes {
    /// Makes the token of a new push.
    pub(super) fn admit(&self, app: AppId, pusher: Pusher) -> String {
        let token = Uuid::new_v4().simple().to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), (app, pusher));
        token
    }

    /// Forgets a push; it is the end of its `git receive-pack`, or its hook has come.
    pub(super) fn take(&self, token: &str) -> Option<(AppId, Pusher)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token)
    }
}

/// Accepts hooks.
#[derive(Debug)]
pub struct HookListener {
    listener: UnixListener,
    git_uid: u32,
    pushes: Pushes,
}

/// A push whose objects are stored, and whose refs wait for [`PushReply::finish`].
#[derive(Debug)]
pub struct PushRequest {
    pub app: AppId,
    pub pusher: Pusher,
    /// What the push wants; see [`super::push::plan`].
    pub commands: Vec<RefCommand>,
    /// The way back to the pusher.
    pub reply: PushReply,
}

/// The way back to the pusher. Dropped without [`PushReply::finish`], every ref is refused.
#[derive(Debug, Clone)]
pub struct PushReply {
    frames: mpsc::Sender<Vec<u8>>,
}

impl HookListener {
    #[expect(clippy::disallowed_methods, reason = "a socket of the server before: each start makes its own")]
    pub(super) fn bind(socket: &Path, git_uid: u32, pushes: Pushes) -> Result<Self, GitError> {
        let io = |source| GitError::io(format!("could not listen on {}", socket.display()), source);
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let listener = UnixListener::bind(socket).map_err(io)?;
        // Only the git user (and root) may connect; who connects is checked again by the kernel's word.
        std::os::unix::fs::chown(socket, Some(git_uid), None).map_err(io)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(socket, mode).map_err(io)?;
        Ok(Self { listener, git_uid, pushes })
    }

    /// Waits for the next push. Hooks that do not say which push they belong to are dropped.
    pub async fn accept(&self) -> Result<PushRequest, GitError> {
        loop {
            let (stream, _) = self
                .listener
                .accept()
                .await
                .map_err(|source| GitError::io("could not accept a git hook", source))?;
            if stream.peer_cred().map(|peer| peer.uid()).ok() != Some(self.git_uid) {
                tracing::warn!("a stranger connected to the socket of the git hook");
                continue;
            }
            match tokio::time::timeout(REQUEST_TIME, self.receive(stream)).await {
                Ok(Ok(Some(request))) => return Ok(request),
                Ok(Ok(None)) => tracing::warn!("a git hook came with the token of no push"),
                Ok(Err(error)) => tracing::warn!(%error, "could not read from a git hook"),
                Err(_) => tracing::warn!("a git hook said nothing"),
            }
        }
    }

    async fn receive(&self, stream: UnixStream) -> io::Result<Option<PushRequest>> {
        let (read, write) = stream.into_split();
        let mut line = Vec::new();
        BufReader::new(read).take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line).await?;
        let HookRequest { token, commands } = serde_json::from_slice(&line)?;
        let Some((app, pusher)) = self.pushes.take(&token) else { return Ok(None) };
        let (frames, waiting) = mpsc::channel(PROGRESS_WAITING_MAX);
        #[expect(clippy::disallowed_methods, reason = "it ends with the channel that it sends from")]
        tokio::spawn(send(write, waiting));
        Ok(Some(PushRequest { app, pusher, commands, reply: PushReply { frames } }))
    }
}

async fn send(mut hook: tokio::net::unix::OwnedWriteHalf, mut waiting: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = waiting.recv().await {
        if hook.write_all(&frame).await.is_err() {
            // The pusher is gone; the build goes on without a watcher.
            return;
        }
    }
}

impl PushReply {
    /// Shows bytes to the pusher. Never waits and never fails: a pusher who reads too slowly misses lines.
    pub fn progress(&self, bytes: &Bytes) {
        for part in bytes.chunks(64 * 1024) {
            let _ = self.frames.try_send(frame(PROGRESS, part));
        }
    }

    /// Shows one line to the pusher.
    pub fn line(&self, text: &str) {
        self.progress(&Bytes::from(format!("{text}\n")));
    }

    /// Ends the push with a result for every command.
    pub async fn finish(self, results: Vec<PushResult>) {
        let json = serde_json::to_vec(&results).expect("a list of names and verdicts is JSON");
        // A pusher who is gone needs no result.
        let _ = self.frames.send(frame(RESULTS, &json)).await;
    }
}

fn frame(kind: u8, bytes: &[u8]) -> Vec<u8> {
    debug_assert!(bytes.len() <= FRAME_BYTES_MAX as usize, "a frame has a limit");
    let length = u32::try_from(bytes.len()).expect("a frame is shorter than 4 GiB");
    let mut frame = Vec::with_capacity(5 + bytes.len());
    frame.push(kind);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}
