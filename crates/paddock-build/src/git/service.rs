//! Smart HTTP: the two services of git, between an HTTP request and a git process.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use paddock_core::AppId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc;

use super::hook::{SOCKET_VARIABLE, TOKEN_VARIABLE};
use super::listener::Pusher;
use super::{GitError, Group, Repositories, pkt_line};

/// The longest life of a transfer. A push waits for its build, so it is longer than any build.
const SERVICE_TIME: Duration = Duration::from_secs(2 * 60 * 60);
/// How long a client may pause in the middle of its request: it packs objects first, and then sends.
const REQUEST_IDLE_MAX: Duration = Duration::from_secs(5 * 60);
/// Compressed bytes that are unpacked at a time: a bomb makes a thousand times as many of them.
const COMPRESSED_PIECE_BYTES: usize = 4 * 1024;
/// The most bytes of a fetch request: some hundred thousand lines of `have`.
const FETCH_REQUEST_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The most bytes of a push request; git itself checks the pack's size (`receive.maxInputSize`).
const PUSH_REQUEST_BYTES_MAX: u64 = 1100 * 1024 * 1024;

/// The services of smart HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `git-receive-pack`: the client pushes.
    ReceivePack,
    /// `git-upload-pack`: the client fetches.
    UploadPack,
}

impl Service {
    /// The service with the name that stands in URLs.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ReceivePack, Self::UploadPack].into_iter().find(|service| service.name() == name)
    }

    /// The name that stands in URLs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReceivePack => "git-receive-pack",
            Self::UploadPack => "git-upload-pack",
        }
    }

    const fn command(self) -> &'static str {
        match self {
            Self::ReceivePack => "receive-pack",
            Self::UploadPack => "upload-pack",
        }
    }

    /// The content type of the answer to `info/refs`.
    #[must_use]
    pub const fn advertisement_type(self) -> &'static str {
        match self {
            Self::ReceivePack => "application/x-git-receive-pack-advertisement",
            Self::UploadPack => "application/x-git-upload-pack-advertisement",
        }
    }

    /// The content type of the answer to the service's POST.
    #[must_use]
    pub const fn result_type(self) -> &'static str {
        match self {
            Self::ReceivePack => "application/x-git-receive-pack-result",
            Self::UploadPack => "application/x-git-upload-pack-result",
        }
    }
}

/// What a client sends to a service.
pub struct GitRequest<R> {
    pub body: R,
    /// Whether the body is gzipped (`Content-Encoding: gzip`).
    pub gzip: bool,
    /// The header `Git-Protocol`.
    pub git_protocol: Option<String>,
}

/// What a service answers. Dropping it does not end the service: a push goes on without its pusher.
#[derive(Debug)]
pub struct GitReply {
    pub content_type: &'static str,
    /// The body, as it comes.
    pub body: mpsc::Receiver<Bytes>,
}

impl Repositories {
    /// The answer to `GET /APP.git/info/refs?service=…`; its type is [`Service::advertisement_type`].
    ///
    /// # Errors
    /// `Busy`; when git fails, or the repository is too large for another push.
    pub async fn advertise(
        &self,
        app: AppId,
        service: Service,
        git_protocol: Option<&str>,
    ) -> Result<Vec<u8>, GitError> {
        let _turn = self.transfers.begin(app).ok_or(GitError::Busy)?;
        let path = self.create(app).await?;
        self.check_size(app, service).await?;
        let arguments = [service.command(), "--stateless-rpc", "--advertise-refs", "."];
        let mut child = self.spawn(&path, &arguments, git_protocol, None)?;
        drop(child.stdin.take());
        let mut refs = Vec::new();
        let mut stdout = child.stdout.take().expect("standard output is piped");
        let work = async {
            stdout.read_to_end(&mut refs).await?;
            child.wait().await
        };
        let status = tokio::time::timeout(Duration::from_secs(60), work)
            .await
            .map_err(|_| GitError::Timeout(service.command()))?
            .map_err(|source| GitError::io("could not read the refs from git", source))?;
        if !status.success() {
            let message = "could not list refs".to_owned();
            return Err(GitError::Failed { command: service.command(), status, message });
        }
        let mut answer = Vec::with_capacity(refs.len() + 64);
        // Protocol 2 begins with its version, without the line that names the service.
        if !refs.starts_with(b"000eversion 2\n") {
            let line = format!("# service={}\n", service.name());
            pkt_line::write(&mut answer, line.as_bytes()).expect("writing to memory succeeds");
            pkt_line::write_flush(&mut answer).expect("writing to memory succeeds");
        }
        answer.append(&mut refs);
        Ok(answer)
    }

    /// The answer to `POST /APP.git/git-…-pack`. `pusher` goes to [`super::PushRequest`] of a push.
    ///
    /// # Errors
    /// `Busy`; when git cannot be started, or the repository is too large for another push.
    pub async fn serve<R>(
        &self,
        app: AppId,
        service: Service,
        request: GitRequest<R>,
        pusher: Pusher,
    ) -> Result<GitReply, GitError>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let turn = self.transfers.begin(app).ok_or(GitError::Busy)?;
        let path = self.create(app).await?;
        self.check_size(app, service).await?;
        let token = (service == Service::ReceivePack).then(|| self.pushes.admit(app, pusher));
        let arguments = [service.command(), "--stateless-rpc", "."];
        let spawned = self.spawn(&path, &arguments, request.git_protocol.as_deref(), token.as_deref());
        let forget = |token: Option<&str>| token.and_then(|token| self.pushes.take(token));
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                forget(token.as_deref());
                return Err(error);
            }
        };
        let (sender, body) = mpsc::channel(64);
        let repositories = self.clone();
        #[expect(clippy::disallowed_methods, reason = "it is held to the longest time of a transfer")]
        tokio::spawn(async move {
            let _turn = turn;
            if tokio::time::timeout(SERVICE_TIME, transfer(child, service, request, sender)).await.is_err() {
                tracing::warn!(app.id = %app, service = service.name(), "a git transfer did not end in time");
            }
            if let Some(token) = token {
                repositories.pushes.take(&token);
                if let Err(error) = repositories.maintain(app).await {
                    tracing::warn!(%error, app.id = %app, "could not tidy up a repository after a push");
                }
            }
        });
        Ok(GitReply { content_type: service.result_type(), body })
    }

    async fn check_size(&self, app: AppId, service: Service) -> Result<(), GitError> {
        if service == Service::UploadPack {
            return Ok(());
        }
        let limit = self.config.repository_bytes_max;
        match self.size_bytes(app).await? {
            bytes if bytes > limit => Err(GitError::TooLarge { bytes, limit }),
            _ => Ok(()),
        }
    }

    fn spawn(
        &self,
        git_dir: &Path,
        arguments: &[&str],
        git_protocol: Option<&str>,
        token: Option<&str>,
    ) -> Result<Child, GitError> {
        let mut command = self.command(Group::Transfers, git_dir, arguments);
        // The service takes its repository as an argument.
        command.env_remove("GIT_DIR").current_dir(git_dir);
        if let Some(protocol) = git_protocol.filter(|protocol| is_protocol(protocol)) {
            command.env("GIT_PROTOCOL", protocol);
        }
        if let Some(token) = token {
            command.env(SOCKET_VARIABLE, &self.config.hook_socket).env(TOKEN_VARIABLE, token);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| GitError::io("could not run git", source))
    }
}

/// `version=2`, and key=value pairs of the same kind, separated by colons.
fn is_protocol(text: &str) -> bool {
    text.len() <= 100
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'=' | b':' | b'-' | b'.'))
}

async fn transfer<R: AsyncRead + Unpin>(
    mut child: Child,
    service: Service,
    request: GitRequest<R>,
    sender: mpsc::Sender<Bytes>,
) {
    let stdin = child.stdin.take().expect("standard input is piped");
    let stdout = child.stdout.take().expect("standard output is piped");
    let stderr = child.stderr.take().expect("standard error is piped");
    let limit = match service {
        Service::ReceivePack => PUSH_REQUEST_BYTES_MAX,
        Service::UploadPack => FETCH_REQUEST_BYTES_MAX,
    };
    let feed = async {
        // A client that breaks off leaves git with a short input, which it refuses by itself.
        if let Err(error) = feed(request, stdin, limit).await {
            tracing::debug!(%error, service = service.name(), "a git client broke off");
        }
    };
    let (_, (), message) = tokio::join!(feed, drain(stdout, sender), read_message(stderr));
    match child.wait().await {
        Ok(status) if !status.success() => {
            tracing::debug!(%status, service = service.name(), message, "git ended with an error");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "could not wait for git"),
    }
}

/// Copies the body to git, decompressed.
async fn feed<R: AsyncRead + Unpin>(
    mut request: GitRequest<R>,
    mut stdin: ChildStdin,
    limit: u64,
) -> std::io::Result<()> {
    use std::io::Write as _;

    let mut decoder = request.gzip.then(|| MultiGzDecoder::new(Vec::new()));
    let mut buffer = vec![0; if request.gzip { COMPRESSED_PIECE_BYTES } else { 64 * 1024 }];
    let mut total = 0;
    loop {
        let read = tokio::time::timeout(REQUEST_IDLE_MAX, request.body.read(&mut buffer)).await;
        let length = read.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        let decoded;
        let bytes = match &mut decoder {
            None => &buffer[..length],
            Some(decoder) => {
                decoder.write_all(&buffer[..length])?;
                if length == 0 {
                    decoder.try_finish()?;
                }
                decoded = std::mem::take(decoder.get_mut());
                &decoded[..]
            }
        };
        total += bytes.len() as u64;
        if total > limit {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "request is too large"));
        }
        stdin.write_all(bytes).await?;
        if length == 0 {
            return stdin.shutdown().await;
        }
    }
}

/// Copies git's output to the client, and goes on reading when the client is gone.
async fn drain(mut stdout: ChildStdout, sender: mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stdout.read(&mut buffer).await {
        let _ = sender.send(Bytes::copy_from_slice(&buffer[..length])).await;
    }
}

async fn read_message(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let _ = (&mut stderr).take(4 * 1024).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}
