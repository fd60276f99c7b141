//! The local certificate authority for the platform's own names, for machines without public certificates.
//!
//! One CA for the platform's names, key 0600, path length 0, critical name constraints, offered by
//! variable only and never put into a trust store. CA variables *replace* the system's list in most clients, so
//! `bundle.pem` holds the system's certificates and ours.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use paddock_core::{UnixMicros, durable};
use paddock_files::Beside;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};

/// Where the system's certificates are, on the systems we know.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How long a server's certificate is valid: clients refuse what is longer than 825 days.
pub const LEAF_DAYS: u64 = 397;
/// How long before its end another one is issued.
pub const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A CA is given to clients by hand, so it lasts.
const CA_DAYS: u64 = 20 * 365;
/// Clocks of clients may be behind.
const VALID_BEFORE: Duration = Duration::from_secs(24 * 60 * 60);

pub mod data;
pub mod proxy_form;

/// What went wrong with the local CA.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file could not be read or written.
    #[error("could not use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made or read.
    #[error("could not make a certificate")]
    Certificate(#[from] rcgen::Error),
}

/// The files of the local CA.
#[derive(Debug, Clone)]
pub struct CaFiles {
    pub certificate: PathBuf,
    /// The system's certificates and the CA's.
    pub bundle: PathBuf,
    /// PEM of the platform's certificate chain.
    pub chain_pem: String,
    /// PEM of the platform certificate's key.
    pub key_pem: String,
}

/// Makes, or reads again, the CA in `folder` and issues a fresh certificate for `domain`'s platform names and the
/// loopback names, which is valid from `now` on.
///
/// # Errors
/// When the folder cannot be written or what is in it is not a CA.
pub fn prepare(folder: &Path, domain: &str, now: UnixMicros) -> Result<CaFiles, CaError> {
    std::fs::create_dir_all(folder).map_err(|source| CaError::File { path: folder.into(), source })?;
    let (key_file, certificate, named) =
        (folder.join("ca.key"), folder.join("ca.pem"), folder.join("domain"));
    // Its name constraints name the domain: another domain needs another CA.
    let made_for = std::fs::read_to_string(&named).unwrap_or_default();
    if made_for != domain || !key_file.exists() || !certificate.exists() {
        let key = KeyPair::generate()?;
        let ca = ca_params(domain, now)?.self_signed(&key)?;
        // The domain last: until it is there, everything is made anew.
        write(&key_file, key.serialize_pem().as_bytes(), 0o600)?;
        write(&certificate, ca.pem().as_bytes(), 0o644)?;
        write(&named, domain.as_bytes(), 0o644)?;
    }
    let ca_pem = read(&certificate)?;
    let issuer = Issuer::new(ca_params(domain, now)?, KeyPair::from_pem(&read(&key_file)?)?);
    let key = KeyPair::generate()?;
    let leaf = leaf_params(domain, now)?.signed_by(&key, &issuer)?;
    let bundle = folder.join("bundle.pem");
    write(&bundle, format!("{}\n{ca_pem}", system_certificates()).as_bytes(), 0o644)?;
    Ok(CaFiles {
        certificate,
        bundle,
        chain_pem: format!("{}{ca_pem}", leaf.pem()),
        key_pem: key.serialize_pem(),
    })
}

fn ca_params(domain: &str, now: UnixMicros) -> Result<CertificateParams, rcgen::Error> {
    let loopback = [
        GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])),
        GeneralSubtree::IpAddress(CidrSubnet::V6(
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            [0xff; 16],
        )),
    ];
    let names = [domain, "localhost"].map(|name| GeneralSubtree::DnsName(name.to_owned()));
    let permitted = names.into_iter().chain(loopback).collect();
    constrained_ca(format!("Paddock local CA for {domain}"), permitted, now)
}

/// A CA that signs servers' certificates for these names alone, and no further CA.
fn constrained_ca(
    name: String,
    permitted: Vec<GeneralSubtree>,
    now: UnixMicros,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    be_valid(&mut params, now, CA_DAYS);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
    Ok(params)
}

/// From a day before `now` on, for that many days in all; by whole days.
fn be_valid(params: &mut CertificateParams, now: UnixMicros, days: u64) {
    let begin = now - VALID_BEFORE;
    let day = |at: UnixMicros| {
        let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(begin);
    params.not_after = day(begin + Duration::from_secs(days * 24 * 60 * 60));
}

fn leaf_params(domain: &str, now: UnixMicros) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec![domain.to_owned(), "localhost".into()];
    names.extend(["api", "git", "data", "registry"].map(|label| format!("{label}.{domain}")));
    // Clients refuse a wildcard directly under a top label (`*.localhost`).
    if domain.contains('.') {
        names.push(format!("*.{domain}"));
    }
    let mut params = CertificateParams::new(names)?;
    be_valid(&mut params, now, LEAF_DAYS);
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
    params.distinguished_name.push(DnType::CommonName, domain);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn system_certificates() -> String {
    SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
}

fn read(path: &Path) -> Result<String, CaError> {
    std::fs::read_to_string(path).map_err(|source| CaError::File { path: path.into(), source })
}

/// Writes a whole file or none.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CaError> {
    let attempt = || {
        let file = Beside::write(path, content)?.with_mode(mode)?.synced()?;
        durable!("ca.file_written", file.replace())
    };
    attempt().map_err(|source| CaError::File { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_ca_stays_and_the_certificate_is_fresh() {
        let folder = tempfile::tempdir().unwrap();
        let now = UnixMicros(1_780_000_000_000_000);
        let first = prepare(folder.path(), "paddock.localhost", now).unwrap();
        let ca = std::fs::read_to_string(&first.certificate).unwrap();
        let second = prepare(folder.path(), "paddock.localhost", now).unwrap();
        assert_eq!(std::fs::read_to_string(&second.certificate).unwrap(), ca);
        assert_ne!(first.key_pem, second.key_pem);
        assert!(std::fs::read_to_string(&second.bundle).unwrap().ends_with(&ca));
        let mode = std::fs::metadata(folder.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
