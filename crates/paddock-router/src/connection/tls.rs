//! Certificates: the platform's own, further ones by host name, read again when their files change.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::config::RouterError;

/// The chain for every name that has none of its own; that of `NAME` is `NAME.cert.pem`.
const CERTIFICATE: &str = "cert.pem";
/// Its key; that of `NAME` is `NAME.key.pem`.
const KEY: &str = "key.pem";
/// Stands for every name that has no certificate of its own.
const ANY: &str = "";

/// The acceptors for clients, and the certificates they use.
pub(crate) struct Certificates {
    folder: PathBuf,
    config: ServerConfig,
    acceptor: TlsAcceptor,
    /// For clients that name no host, by the address of ours that they came to.
    by_address: ArcSwap<BTreeMap<IpAddr, TlsAcceptor>>,
    keys: Arc<Keys>,
    /// The files as they were read last, with the times they were changed.
    read: Mutex<BTreeMap<PathBuf, SystemTime>>,
}

#[derive(Debug, Default)]
struct Keys(ArcSwap<BTreeMap<String, Arc<CertifiedKey>>>);

/// The keys for clients that came to one address. A client that knows us by it does not name it.
#[derive(Debug)]
struct KeysAt {
    address: String,
    keys: Arc<Keys>,
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name().unwrap_or_default())
    }
}

impl ResolvesServerCert for KeysAt {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.keys.find(hello.server_name().unwrap_or(&self.address))
    }
}

impl Keys {
    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let keys = self.0.load();
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, parent)| format!("_.{parent}"));
        let own = keys.get(&name).or_else(|| keys.get(&wildcard?));
        own.or_else(|| keys.get(ANY)).cloned()
    }
}

impl Certificates {
    /// Begins with the pairs in `folder`: `cert.pem` and `key.pem` for every name without its own, `NAME.cert.pem`
    /// and `NAME.key.pem` for one, where `_.example.com` is `*.example.com` and an address is one of ours that
    /// clients come to. Without any, TLS is refused and the
    /// rest goes on.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, RouterError> {
        let keys = Arc::new(Keys::default());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let doing = "could not set up TLS";
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| RouterError::new(doing, io::Error::other(error)))?
            .with_no_client_auth()
            .with_cert_resolver(keys.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer =
            aws_lc_rs::Ticketer::new().map_err(|error| RouterError::new(doing, io::Error::other(error)))?;
        let acceptor = TlsAcceptor::from(Arc::new(config.clone()));
        let (by_address, read) = (ArcSwap::default(), Mutex::default());
        let certificates = Self { folder, config, acceptor, by_address, keys, read };
        certificates.reload();
        Ok(certificates)
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// The acceptor for clients that came to this address of ours.
    pub(crate) fn acceptor_at(&self, address: IpAddr) -> TlsAcceptor {
        let by_address = self.by_address.load();
        by_address.get(&address.to_canonical()).unwrap_or(&self.acceptor).clone()
    }

    /// Reads the pairs again if any file is new, changed or gone. A pair that cannot be read
    /// keeps its last state and is tried again next time: it may be half written.
    pub(crate) fn reload(&self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match files(&self.folder) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(path = %self.folder.display(), %error, "could not look for certificates");
                return;
            }
        };
        if *read == found {
            return;
        }
        let before = self.keys.0.load_full();
        let mut keys = BTreeMap::new();
        let mut all_usable = true;
        for certificate in found.keys() {
            let file = certificate.file_name().and_then(|file| file.to_str()).unwrap_or_default();
            let Some(prefix) = file.strip_suffix(CERTIFICATE) else { continue };
            let name = prefix.strip_suffix('.').unwrap_or(ANY);
            match load(certificate, &self.folder.join(format!("{prefix}{KEY}"))) {
                Ok(key) => drop(keys.insert(name.to_owned(), Arc::new(key))),
                Err(error) => {
                    tracing::error!(path = %certificate.display(), %error, "could not use a certificate");
                    all_usable = false;
                    keys.extend(before.get(name).map(|key| (name.to_owned(), key.clone())));
                }
            }
        }
        tracing::info!(certificates = keys.len(), "certificates were read");
        let addresses = keys.keys().filter_map(|name| name.parse().ok());
        let by_address = addresses.map(|address: IpAddr| {
            let mut config = self.config.clone();
            config.cert_resolver = Arc::new(KeysAt { address: address.to_string(), keys: self.keys.clone() });
            (address, TlsAcceptor::from(Arc::new(config)))
        });
        self.by_address.store(Arc::new(by_address.collect()));
        self.keys.0.store(Arc::new(keys));
        if all_usable {
            *read = found;
        }
    }
}

fn files(folder: &Path) -> io::Result<BTreeMap<PathBuf, SystemTime>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    entries.map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.metadata()?.modified()?)))).collect()
}

fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider: CryptoProvider = aws_lc_rs::default_provider();
    Ok(CertifiedKey::from_der(chain, key, &provider)?)
}
