//! The certificate authorities that https servers are checked against: the system's list.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Where distributions keep their list.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The authorities that are trusted.
#[derive(Debug, Clone)]
pub struct Roots(RootCertStore);

/// A list of authorities could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read certificate authorities from {}", .path.display())]
pub struct RootsError {
    path: PathBuf,
    #[source]
    source: rustls::pki_types::pem::Error,
}

impl Roots {
    /// Those of a file of PEM certificates.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, RootsError> {
        let failed = |source| RootsError { path: path.to_owned(), source };
        let certificates = CertificateDer::pem_file_iter(path).map_err(failed)?;
        let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let mut store = RootCertStore::empty();
        // The system's list may hold a certificate that rustls cannot read; the others are good all the same.
        store.add_parsable_certificates(certificates);
        Ok(Self(store))
    }

    /// The system's. None on a system that has no list: then no https server is trusted.
    ///
    /// # Errors
    /// When the list is there and cannot be read.
    pub fn of_system() -> Result<Self, RootsError> {
        match SYSTEM.iter().map(Path::new).find(|path| path.exists()) {
            Some(path) => Self::of_file(path),
            None => Ok(Self(RootCertStore::empty())),
        }
    }

    /// None: no https server is trusted.
    #[must_use]
    pub fn none() -> Self {
        Self(RootCertStore::empty())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn client(self) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(self.0)
            .with_no_client_auth();
        Arc::new(config)
    }
}
