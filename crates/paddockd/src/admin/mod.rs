//! The administrator's socket: the operator's commands talk to it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use paddock_control::backup::{ClearSecrets, DatabaseProgress, Databases, Progress, Summary, Wanted};
use paddock_control::{Control, DataKey};
use paddock_core::error::chain;
use paddock_ipc::admin::{AdminAnswer, AdminRequest, ProxyClient};
use paddock_ipc::frame;
use paddock_store::MasterKeyRotation;
use tokio_util::sync::CancellationToken;

mod accounts;
mod buildpacks;
mod stacks;
mod storage;

use crate::paths::Paths;
use crate::proxy_form::ProxyForm;

/// How long a peer may take to ask.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often who waits for a backup hears of it.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// What a stop leaves running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopKind {
    /// Router and dynos go on.
    ServerOnly,
    Everything,
}

/// What the socket's threads share.
pub(crate) struct Admin {
    pub(crate) control: Arc<Control>,
    pub(crate) paths: Paths,
    pub(crate) proxy_form: Arc<ProxyForm>,
    pub(crate) master_key: Mutex<PathBuf>,
    pub(crate) stop: CancellationToken,
    /// What was asked for last; read when `stop` is cancelled.
    pub(crate) stop_kind: Mutex<StopKind>,
    /// Connections that wait for our end: dropped as the last act.
    pub(crate) waiting: Mutex<Vec<UnixStream>>,
}

/// Listens; each peer is answered in a thread of its own, since there are few and they may block.
pub(crate) fn listen(admin: Arc<Admin>) -> io::Result<()> {
    let path = admin.paths.admin_socket();
    #[expect(clippy::disallowed_methods, reason = "a socket of the server before: each start makes its own")]
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666))?;
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("admin".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let (admin, runtime) = (admin.clone(), runtime.clone());
            let spawned = std::thread::Builder::new().name("admin-peer".into()).spawn(move || {
                if let Err(error) = admin.answer(&stream, &runtime) {
                    tracing::warn!(%error, "an administrator's question was not answered");
                }
            });
            if let Err(error) = spawned {
                tracing::warn!(%error, "could not answer an administrator");
            }
        }
    })?;
    Ok(())
}

impl Admin {
    fn answer(&self, stream: &UnixStream, runtime: &tokio::runtime::Handle) -> io::Result<()> {
        stream.set_read_timeout(Some(ASK_TIMEOUT))?;
        if !self.is_owner(stream)? {
            let reason = "only the owner of the data directory (or root) may ask this server".to_owned();
            return frame::send(stream.as_fd(), &AdminAnswer::Refused { reason }, &[]);
        }
        let Some((request, descriptors)) = frame::receive::<AdminRequest>(stream.as_fd())? else {
            return Ok(());
        };
        match request {
            AdminRequest::AddStack { name, is_beta, layers, run, build } => {
                let wanted = stacks::Wanted { name, is_beta, layers, run, build };
                let answer = stacks::add(&self.control, stream, runtime, wanted)?;
                frame::send(stream.as_fd(), &answer, &[])
            }
            AdminRequest::Stop { dynos } => {
                frame::send(stream.as_fd(), &AdminAnswer::Stopping { pid: std::process::id() }, &[])?;
                lock(&self.waiting).push(stream.try_clone()?);
                *lock(&self.stop_kind) = if dynos { StopKind::Everything } else { StopKind::ServerOnly };
                self.stop.cancel();
                Ok(())
            }
            AdminRequest::Backup { clear_secrets, without_databases } => {
                let secrets = if clear_secrets { ClearSecrets::Included } else { ClearSecrets::LeftOut };
                let databases = if without_databases { Databases::LeftOut } else { Databases::Dumped };
                let refused = || AdminAnswer::Refused { reason: "no file came with the request".into() };
                let answer = descriptors.into_iter().next().map_or_else(refused, |file| {
                    self.back_up(stream, runtime, file.into(), secrets, databases)
                });
                frame::send(stream.as_fd(), &answer, &[])
            }
            AdminRequest::ImportBuildpack { name, url } => {
                let file = descriptors.into_iter().next().map(File::from);
                let answer = runtime.block_on(buildpacks::import(&self.control, &name, url, file));
                frame::send(stream.as_fd(), &answer, &[])
            }
            request => {
                let answer = runtime.block_on(self.answer_of(request));
                frame::send(stream.as_fd(), &answer, &[])
            }
        }
    }

    /// What is answered at once, with nothing besides.
    async fn answer_of(&self, request: AdminRequest) -> AdminAnswer {
        match request {
            AdminRequest::Environment { proxy, account } => {
                match self.variables(proxy.as_ref(), account.as_deref()).await {
                    Ok(variables) => AdminAnswer::Environment { variables },
                    Err(reason) => AdminAnswer::Refused { reason },
                }
            }
            request @ (AdminRequest::ListStacks
            | AdminRequest::RemoveStack { .. }
            | AdminRequest::DeprecateStack { .. }) => stacks::answer(&self.control, request).await,
            AdminRequest::RotateKeys { data_key, new_master_key_file } => {
                self.rotate_keys(data_key, new_master_key_file.as_deref()).await
            }
            AdminRequest::ListBuildpacks => buildpacks::list(&self.control).await,
            AdminRequest::Storage => storage::answer(&self.control).await,
            AdminRequest::Status => self.status().await,
            AdminRequest::Metrics => match self.control.platform.metrics().await {
                Ok(text) => AdminAnswer::Metrics { text },
                Err(error) => AdminAnswer::Refused { reason: chain(&error) },
            },
            of_accounts => accounts::answer(&self.control, of_accounts).await,
        }
    }

    async fn status(&self) -> AdminAnswer {
        let problems = self.control.platform.troubles().await;
        let problems = problems.unwrap_or_else(|error| vec![chain(&error)]);
        let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION").to_owned());
        AdminAnswer::Status { pid, version, problems }
    }

    async fn rotate_keys(&self, data_key: bool, new_file: Option<&Path>) -> AdminAnswer {
        let data_key = if data_key { DataKey::Replaced } else { DataKey::Kept };
        let master_key = lock(&self.master_key).clone();
        match self.control.platform.rotate_keys(&master_key, new_file, data_key).await {
            Ok((rotation, resealed)) => {
                tracing::info!(resealed, ?rotation, "the master key was replaced");
                if let Some(new_file) = new_file {
                    new_file.clone_into(&mut lock(&self.master_key));
                }
                AdminAnswer::KeysRotated { resealed, was_there: rotation == MasterKeyRotation::WasThere }
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(error = reason, "the keys were not rotated");
                AdminAnswer::Refused { reason }
            }
        }
    }

    /// Writes a backup into the asker's file, as long as the asker is there.
    fn back_up(
        &self,
        stream: &UnixStream,
        runtime: &tokio::runtime::Handle,
        file: File,
        secrets: ClearSecrets,
        databases: Databases,
    ) -> AdminAnswer {
        let mut told = Instant::now();
        let mut progress = |progress: Progress| {
            if told.elapsed() < PROGRESS_INTERVAL {
                return true;
            }
            told = Instant::now();
            let Progress { bytes_done, bytes_total, database } = progress;
            let database = database.map(|DatabaseProgress { number, of, bytes }| (number, of, bytes));
            let told = AdminAnswer::BackupProgress { bytes_done, bytes_total, database };
            frame::send(stream.as_fd(), &told, &[]).is_ok()
        };
        let master_key = lock(&self.master_key).clone();
        let version = env!("CARGO_PKG_VERSION");
        let wanted = Wanted { master_key_file: &master_key, version, secrets, databases };
        match runtime.block_on(self.control.platform.back_up(wanted, file, &mut progress)) {
            Ok(summary) => {
                let Summary { apps, databases, files, bytes, .. } = summary;
                tracing::info!(files, bytes, databases, "wrote a backup of {apps} apps");
                let lost = summary.databases_lost.into_iter().map(|lost| (lost.name, lost.reason));
                AdminAnswer::BackedUp {
                    apps,
                    files,
                    bytes,
                    writes_held_milliseconds: u64::try_from(summary.writes_held.as_millis())
                        .unwrap_or(u64::MAX),
                    databases: summary.databases_left_out,
                    databases_dumped: databases,
                    databases_lost: lost.collect(),
                }
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(error = reason, "a backup was not written");
                AdminAnswer::Refused { reason }
            }
        }
    }

    /// The kernel tells the peer's uid; the peer cannot.
    fn is_owner(&self, stream: &UnixStream) -> io::Result<bool> {
        let peer = rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw();
        let owner = std::fs::metadata(&self.paths.data)?.uid();
        Ok(peer == 0 || peer == owner)
    }

    /// The variables for a client of the loopback form, or of the proxy form.
    async fn variables(
        &self,
        proxy: Option<&ProxyClient>,
        account: Option<&str>,
    ) -> Result<Vec<(String, String)>, String> {
        let mut pairs = match proxy {
            Some(client) => {
                let variables = self.proxy_form.variables(&self.control, client).await;
                variables.map_err(|error| chain(&error))?
            }
            None => self.loopback_variables(),
        };
        pairs.extend([
            ("DISABLE_TELEMETRY", "true".into()),
            ("HEROKU_SKIP_NEW_VERSION_CHECK", "1".into()),
            ("HEROKU_DISABLE_AUTOUPDATE", "1".into()),
            ("HEROKU_NETRC_WRITE", "true".into()),
        ]);
        // Another machine is somebody else's as often as not: it gets the operator's token only by name.
        if account.is_some() || !proxy.is_some_and(ProxyClient::is_elsewhere) {
            let (file, folder) = (self.paths.cli_token(), self.paths.cli_tokens());
            let token = self.control.people.command_line_token(account, &file, &folder).await;
            pairs.push(("HEROKU_API_KEY", token.map_err(|error| error.to_string())?));
        }
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Source: `docs/contract/heroku-cli.md`, 6.1.
    fn loopback_variables(&self) -> Vec<(&'static str, String)> {
        let host = self.control.config().git_host();
        let url = format!("http://{host}");
        let ca = self.paths.ca();
        let bundle = ca.join("bundle.pem").display().to_string();
        vec![
            ("HEROKU_HOST", url.clone()),
            ("HEROKU_GIT_HOST", host.clone()),
            ("HEROKU_DATA_HOST", "localhost".into()),
            ("HEROKU_LOGIN_HOST", url.clone()),
            ("HEROKU_PARTICLEBOARD_URL", url.clone()),
            ("HEROKU_STATUS_HOST", url.clone()),
            ("HEROKU_BUILDPACK_REGISTRY_URL", url),
            ("HEROKU_EXEC_URL", format!("https://{host}/")),
            ("HEROKU_CI_WEBSOCKET_URL", format!("ws://{host}/socket")),
            ("PGDIAGNOSE_URL", "localhost".into()),
            ("NODE_EXTRA_CA_CERTS", ca.join("ca.pem").display().to_string()),
            ("GIT_SSL_CAINFO", bundle.clone()),
            ("SSL_CERT_FILE", bundle.clone()),
            ("REQUESTS_CA_BUNDLE", bundle),
        ]
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
