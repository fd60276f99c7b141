//! From a target to a stream: resolved once, checked, connected to the address that was checked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::address::{self, Network};
use crate::target::Target;
use crate::{OutboundError, address::own_addresses};

/// How long a name may take to resolve, an address to connect, a handshake to end.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Bytes of a response's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// A stream of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects to where a target is.
pub(crate) async fn open(
    target: &Target,
    allowed: &[Network],
    tls: &TlsConnector,
) -> Result<Box<dyn Stream>, OutboundError> {
    let addresses = checked_addresses(target, allowed).await?;
    let stream = connect(target, &addresses).await?;
    if !target.is_https() {
        return Ok(Box::new(stream));
    }
    let failed = |reason: String| OutboundError::Tls { host: target.host().to_string(), reason };
    let name = match target.host() {
        Host::Domain(name) => name.trim_end_matches('.').to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    let name = name.try_into().map_err(|_| failed("its name cannot stand in a certificate".into()))?;
    match tokio::time::timeout(STEP_MAX, tls.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("it did not finish the TLS handshake".into())),
    }
}

/// Begins to speak HTTP on a stream.
pub(crate) async fn begin<B>(
    target: &Target,
    stream: Box<dyn Stream>,
) -> Result<(SendRequest<B>, Driver), OutboundError>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let broken = |source| OutboundError::Http { shown: target.shown(), source };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // How it ends is told to whoever reads the body.
    #[expect(clippy::disallowed_methods, reason = "it ends with the driver")]
    let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
    Ok((sender, driver))
}

/// The task that moves the bytes of a connection; it ends with what it was for.
pub(crate) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The addresses of the target's host that may be connected to; an error when none may.
async fn checked_addresses(target: &Target, allowed: &[Network]) -> Result<Vec<SocketAddr>, OutboundError> {
    let host = target.host().to_string();
    let unresolved = |source| OutboundError::Resolve { host: host.clone(), source };
    let resolved: Vec<IpAddr> = match target.host() {
        Host::Ipv4(ip) => vec![ip.into()],
        Host::Ipv6(ip) => vec![ip.into()],
        Host::Domain(name) => {
            let found = tokio::time::timeout(STEP_MAX, tokio::net::lookup_host((name, target.port()))).await;
            let found = found.map_err(|_| unresolved(io::ErrorKind::TimedOut.into()))?.map_err(unresolved)?;
            found.map(|address| address.ip()).collect()
        }
    };
    // Read anew each time: interfaces come and go, not least those of our own dynos.
    let own = own_addresses().map_err(unresolved)?;
    let mut refusal = None;
    let mut checked = Vec::new();
    for ip in resolved {
        match address::refused(ip, allowed, &own) {
            None => checked.push(SocketAddr::new(ip, target.port())),
            Some(kind) => {
                let bits = if ip.to_canonical().is_ipv4() { 32 } else { 128 };
                let address = ip.to_canonical();
                refusal.get_or_insert(OutboundError::Refused { host: host.clone(), address, kind, bits });
            }
        }
    }
    checked.truncate(ADDRESSES_MAX);
    match (checked.is_empty(), refusal) {
        (false, _) => Ok(checked),
        (true, Some(refusal)) => Err(refusal),
        (true, None) => Err(unresolved(io::ErrorKind::NotFound.into())),
    }
}

async fn connect(target: &Target, addresses: &[SocketAddr]) -> Result<TcpStream, OutboundError> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match tokio::time::timeout(STEP_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(OutboundError::Connect { host: target.host().to_string(), source: last })
}
