//! The CA of data servers, whose certificates name addresses of the containers' network and names below `data.DOMAIN`. It is
//! apart from the platform's: that one may sign for no address but loopback, and is in the hands of clients already.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, Issuer, KeyPair, SanType,
};

use super::{CaError, LEAF_DAYS, be_valid, constrained_ca, read, write};
use crate::kernel::certificates::{IssueCertificate, Issued};
use crate::{Clock, Error, Result};

/// Below the folder of the platform's CA.
const FOLDER: &str = "data";
/// What its certificate speaks for besides addresses. Written last: while it says something else, the certificate is made anew,
/// with the same key. What was signed before holds by the new one as well.
const NAMES: &str = "names";
/// Nothing outside may be spoken for: private networks alone.
const PRIVATE: [([u8; 4], [u8; 4]); 3] = [
    ([10, 0, 0, 0], [255, 0, 0, 0]),
    ([172, 16, 0, 0], [255, 240, 0, 0]),
    ([192, 168, 0, 0], [255, 255, 0, 0]),
];

/// The CA of data servers, made when it is first asked for.
pub struct DataCa {
    folder: PathBuf,
    /// `data.DOMAIN`, below which it may sign for names.
    names: String,
    clock: Arc<dyn Clock>,
    /// Made by one at a time.
    making: Mutex<()>,
}

impl DataCa {
    /// The one below the folder of the platform's CA, for the platform's domain.
    #[must_use]
    pub fn new(ca: &std::path::Path, domain: &str, clock: Arc<dyn Clock>) -> Self {
        let names = format!("data.{}", domain.to_ascii_lowercase());
        Self { folder: ca.join(FOLDER), names, clock, making: Mutex::new(()) }
    }

    /// The certificate that clients may check servers by.
    fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The CA's certificate and key, both in PEM.
    fn made(&self) -> std::result::Result<(String, String), CaError> {
        let _one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let (key_file, certificate) = (self.folder.join("ca.key"), self.certificate());
        let names_file = self.folder.join(NAMES);
        let is_whole = key_file.exists() && certificate.exists();
        if !is_whole || read(&names_file).ok().as_deref() != Some(self.names.as_str()) {
            paddock_files::make_private_folder(&self.folder)
                .map_err(|source| CaError::File { path: self.folder.clone(), source })?;
            let key = match is_whole {
                true => KeyPair::from_pem(&read(&key_file)?)?,
                false => KeyPair::generate()?,
            };
            let ca = self.params()?.self_signed(&key)?;
            if !is_whole {
                write(&key_file, key.serialize_pem().as_bytes(), 0o600)?;
            }
            write(&certificate, ca.pem().as_bytes(), 0o644)?;
            write(&names_file, self.names.as_bytes(), 0o644)?;
        }
        Ok((read(&certificate)?, read(&key_file)?))
    }

    fn params(&self) -> std::result::Result<CertificateParams, rcgen::Error> {
        let networks =
            PRIVATE.map(|(address, mask)| GeneralSubtree::IpAddress(CidrSubnet::V4(address, mask)));
        let names = [GeneralSubtree::DnsName(self.names.clone())];
        let permitted = networks.into_iter().chain(names).collect();
        constrained_ca("Paddock CA of data services".to_owned(), permitted, self.clock.now())
    }

    fn leaf(&self, address: IpAddr, names: &[String]) -> std::result::Result<Issued, CaError> {
        let (ca, ca_key) = self.made()?;
        let issuer = Issuer::new(self.params()?, KeyPair::from_pem(&ca_key)?);
        let mut params = CertificateParams::new(names.to_vec())?;
        be_valid(&mut params, self.clock.now(), LEAF_DAYS);
        params.subject_alt_names.push(SanType::IpAddress(address));
        // No address alone: OpenSSL takes that for a name of a host, which the CA may not sign for.
        params.distinguished_name.push(DnType::CommonName, format!("Data server at {address}"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &issuer)?;
        Ok(Issued { chain: format!("{}{ca}", leaf.pem()), key: key.serialize_pem() })
    }
}

impl IssueCertificate for DataCa {
    fn issue(&self, address: IpAddr, names: &[String]) -> Result<Issued> {
        self.leaf(address, names).map_err(|error| Error::internal("issue a data server's certificate", error))
    }

    fn authority(&self) -> Result<String> {
        let made = self.made().map_err(|error| Error::internal("make the CA of data servers", error))?;
        Ok(made.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::clock::SystemClock;

    #[test]
    fn another_domain_makes_its_certificate_anew_and_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let ca = |domain: &str| DataCa::new(folder.path(), domain, Arc::new(SystemClock)).made().unwrap();
        let first = ca("paddock.example");
        assert_eq!(ca("paddock.example"), first, "it is read again");
        let (certificate, key) = ca("other.example");
        assert_eq!(key, first.1);
        assert_ne!(certificate, first.0);
        // As an earlier version left it.
        std::fs::remove_file(folder.path().join("data/names")).unwrap();
        assert_eq!(ca("paddock.example").1, first.1);
    }
}
