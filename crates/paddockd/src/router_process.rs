//! Starting the router, and the sockets it is started on.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use paddock_control::router_link::RouterStarter;
use paddock_core::{durable, hex};
use paddock_files::Beside;
use paddock_ipc::routes::{Listener, ListenerKind};
use paddock_router::{RouterStart, RunAs};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::instance::Instance;
use crate::paths::Paths;

/// Starts `paddockd router` on sockets that are bound already.
pub(crate) struct RouterProcess {
    /// Which program this is: [`program_id`].
    pub(crate) program: String,
    pub(crate) paths: Paths,
    pub(crate) instance: Instance,
}

/// How long a router that is ending may hold what it listened on.
const ENDING: Duration = Duration::from_secs(5);
/// The program that this process runs, also when the file was replaced since.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Version and digest of the program that this process runs: another build is another program.
pub(crate) fn program_id() -> io::Result<String> {
    static READ: OnceLock<String> = OnceLock::new();
    if let Some(read) = READ.get() {
        return Ok(read.clone());
    }
    let mut file = File::open(OWN_PROGRAM)?;
    let mut digest = Sha256::new();
    io::copy(&mut file, &mut digest)?;
    let id = format!("{} {}", env!("CARGO_PKG_VERSION"), short(&digest.finalize()));
    Ok(READ.get_or_init(|| id).clone())
}

/// Enough of a digest to tell one thing from another.
fn short(digest: &[u8]) -> String {
    hex(&digest[..8])
}

#[async_trait]
impl RouterStarter for RouterProcess {
    async fn start(&self, listeners: &[(Listener, OwnedFd)]) -> io::Result<u32> {
        let control = self.control_socket()?;
        let (ours, theirs) = UnixStream::pair()?;
        let uid = self.instance.router_uid();
        let start = RouterStart {
            folder: self.paths.router(),
            serve_socket: self.paths.serve_socket(),
            rendezvous_socket: self.paths.rendezvous_socket(),
            instance: self.instance.letters.clone(),
            program: self.program.clone(),
            spool: Uuid::now_v7().to_string(),
            run_as: Some(RunAs { uid, gid: uid }),
            workers: 0,
            listeners: listeners.iter().map(|(listener, _)| listener.clone()).collect(),
        };
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.paths.router().join("start.log"))?;
        // Never another build than this one, whatever lies at our path by now.
        #[expect(clippy::disallowed_methods, reason = "the router is this very program")]
        let mut child = Command::new(OWN_PROGRAM)
            .arg0("paddockd")
            .arg("router")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()?;
        let sockets: Vec<_> = listeners.iter().map(|(_, socket)| socket.as_fd()).collect();
        let sent = start.send(ours.as_fd(), control.as_fd(), &sockets);
        let pid = child.id();
        // Reaped when it ends while we live; when we end first, the system's process 1 does it.
        std::thread::Builder::new().name("router-reaper".into()).spawn(move || {
            let status = child.wait();
            // It ends by itself when it is asked to, or has handed over; anything else needs a look.
            match status {
                Ok(status) if status.success() => tracing::info!("the router has ended as it was asked to"),
                status => tracing::warn!(?status, "the router has ended"),
            }
        })?;
        sent.map(|()| pid)
    }

    fn kill(&self, pid: u32) {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Gone already is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

impl RouterProcess {
    /// Prepares the router's folder: it, and nothing else, belongs to the router's user.
    pub(crate) fn prepare_folder(&self, chain_pem: &str, key_pem: &str) -> io::Result<()> {
        self.prepare_own(&self.paths.router())?;
        self.keep_certificate("tls", "", chain_pem, key_pem).map(|_| ())
    }

    /// Keeps a certificate in a folder of the router's; what tells it from others that were or will be there.
    pub(crate) fn keep_certificate(
        &self,
        folder: &str,
        prefix: &str,
        chain_pem: &str,
        key_pem: &str,
    ) -> io::Result<String> {
        let folder = self.paths.router().join(folder);
        self.prepare_own(&folder)?;
        let uid = self.instance.router_uid();
        for (name, content) in [("cert.pem", chain_pem), ("key.pem", key_pem)] {
            let file = Beside::write(&folder.join(format!("{prefix}{name}")), content)?.owned_by(uid)?;
            durable!("router.certificate_kept", file.replace())?;
        }
        Ok(short(&Sha256::digest(chain_pem)))
    }

    fn prepare_own(&self, folder: &Path) -> io::Result<()> {
        let uid = self.instance.router_uid();
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700))?;
        chown(folder, Some(uid), Some(uid))
    }

    fn control_socket(&self) -> io::Result<UnixListener> {
        let path = self.paths.router_socket();
        #[expect(
            clippy::disallowed_methods,
            reason = "a socket of the server before: each start makes its own"
        )]
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        Ok(listener)
    }
}

/// Why a socket could not be had, for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Somebody else has the port.
    #[error("{address} is taken{}. Choose another with --listen.", by(.holder))]
    Taken { address: SocketAddr, holder: Option<String> },
    /// Anything else.
    #[error("could not listen on {address}")]
    Other {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

fn by(holder: &Option<String>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(" by {holder}"))
}

/// Binds the public port, on loopback as well as on the containers' bridge, and the DNS forwarder's, unless they are
/// among those `kept` from an earlier router.
pub(crate) fn bind(
    listen: SocketAddr,
    bridge: IpAddr,
    kept: Vec<(Listener, OwnedFd)>,
) -> Result<Vec<(Listener, OwnedFd)>, BindError> {
    let mut sockets = vec![public(listen)?];
    // Dynos reach the router by the bridge's address, unless the public socket covers it already.
    if !listen.ip().is_unspecified() {
        sockets.push(public(SocketAddr::new(bridge, listen.port()))?);
    }
    if !kept.is_empty() {
        sockets.extend(kept);
        return Ok(sockets);
    }
    let address = SocketAddr::new(bridge, 53);
    let other = |source| BindError::Other { address, source };
    let udp = once_free(|| UdpSocket::bind(address)).map_err(other)?;
    let tcp = once_free(|| TcpListener::bind(address)).map_err(other)?;
    sockets.push((Listener { kind: ListenerKind::DnsUdp, address }, udp.into()));
    sockets.push((Listener { kind: ListenerKind::DnsTcp, address }, tcp.into()));
    Ok(sockets)
}

/// The range of the bridge is free, and the router of the server that had it last may be answering a last question still.
#[expect(clippy::disallowed_methods, reason = "nothing tells when another server lets go of an address")]
fn once_free<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + ENDING;
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

fn public(address: SocketAddr) -> Result<(Listener, OwnedFd), BindError> {
    match TcpListener::bind(address) {
        Ok(socket) => {
            let address = socket.local_addr().unwrap_or(address);
            Ok((Listener { kind: ListenerKind::Public, address }, socket.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(BindError::Taken { address, holder: holder_of(address.port()) })
        }
        Err(source) => Err(BindError::Other { address, source }),
    }
}

/// The process that listens on a TCP port, as far as /proc tells.
pub(crate) fn holder_of(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let local = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
            (local == port && *fields.get(3)? == "0A")
                .then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
    })?;
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds =
            |link: io::Result<PathBuf>| link.is_ok_and(|target| target.as_os_str() == wanted.as_str());
        if pid.bytes().all(|c| c.is_ascii_digit())
            && descriptors.flatten().any(|descriptor| holds(std::fs::read_link(descriptor.path())))
        {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {pid} ({})", name.trim()));
        }
    }
    None
}
