//! Certificates of servers that the platform runs, for areas that must not know of a certificate authority.

use std::net::IpAddr;

use crate::Result;

/// A certificate, and its key.
pub(crate) struct Issued {
    /// In PEM.
    pub(crate) chain: String,
    /// In PEM.
    pub(crate) key: String,
}

/// Issues certificates for addresses of ours, and names below `data.DOMAIN`.
pub(crate) trait IssueCertificate: Send + Sync {
    /// A fresh one.
    fn issue(&self, address: IpAddr, names: &[String]) -> Result<Issued>;

    /// Who signs them, in PEM.
    fn authority(&self) -> Result<String>;
}
