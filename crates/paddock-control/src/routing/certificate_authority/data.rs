//! The CA of data servers, whose certificates name addresses of the containers' network. It is apart from the platform's:
//! that one may sign for no address but loopback, and is in the hands of clients already.

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
/// Nothing outside may be spoken for: private networks alone.
const PRIVATE: [([u8; 4], [u8; 4]); 3] = [
    ([10, 0, 0, 0], [255, 0, 0, 0]),
    ([172, 16, 0, 0], [255, 240, 0, 0]),
    ([192, 168, 0, 0], [255, 255, 0, 0]),
];

/// The CA of data servers, made when it is first asked for.
pub struct DataCa {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    /// Made by one at a time.
    making: Mutex<()>,
}

impl DataCa {
    /// The one below the folder of the platform's CA.
    #[must_use]
    pub fn new(ca: &std::path::Path, clock: Arc<dyn Clock>) -> Self {
        Self { folder: ca.join(FOLDER), clock, making: Mutex::new(()) }
    }

    /// The certificate that clients may check servers by.
    fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The CA's certificate and key, both in PEM.
    fn made(&self) -> std::result::Result<(String, String), CaError> {
        let _one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let (key_file, certificate) = (self.folder.join("ca.key"), self.certificate());
        if !key_file.exists() || !certificate.exists() {
            paddock_files::make_private_folder(&self.folder)
                .map_err(|source| CaError::File { path: self.folder.clone(), source })?;
            let key = KeyPair::generate()?;
            let ca = self.params()?.self_signed(&key)?;
            write(&key_file, key.serialize_pem().as_bytes(), 0o600)?;
            write(&certificate, ca.pem().as_bytes(), 0o644)?;
        }
        Ok((read(&certificate)?, read(&key_file)?))
    }

    fn params(&self) -> std::result::Result<CertificateParams, rcgen::Error> {
        let networks =
            PRIVATE.map(|(address, mask)| GeneralSubtree::IpAddress(CidrSubnet::V4(address, mask)));
        // Names of a kind that no constraint speaks of are all permitted: none of ours is below this one.
        let names = [GeneralSubtree::DnsName("data.invalid".to_owned())];
        let permitted = networks.into_iter().chain(names).collect();
        constrained_ca("Paddock CA of data services".to_owned(), permitted, self.clock.now())
    }

    fn leaf(&self, address: IpAddr) -> std::result::Result<Issued, CaError> {
        let (ca, ca_key) = self.made()?;
        let issuer = Issuer::new(self.params()?, KeyPair::from_pem(&ca_key)?);
        let mut params = CertificateParams::new(Vec::new())?;
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
    fn issue(&self, address: IpAddr) -> Result<Issued> {
        self.leaf(address).map_err(|error| Error::internal("issue a data server's certificate", error))
    }

    fn authority(&self) -> Result<String> {
        let made = self.made().map_err(|error| Error::internal("make the CA of data servers", error))?;
        Ok(made.0)
    }
}
