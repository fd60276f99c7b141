//! The certificate authority of the proxy form: for the names of its list, which are Heroku's, and for the addresses
//! by which clients on other machines reach this server; nothing else.
//!
//! Made when it is first asked for. Clients are given it by variable only: no trust store ever has it. A further
//! address makes it anew, because the addresses are among the names it is constrained to; clients take its files again
//! then.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use paddock_core::proxy_form;
use paddock_core::{UnixMicros, durable};
use rcgen::{
    CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, Issuer, KeyPair, SanType,
};

use crate::routing::certificate_authority::{
    CaError, LEAF_DAYS, be_valid, constrained_ca, read, system_certificates, write,
};

/// The file for `NODE_EXTRA_CA_CERTS`: the platform's CA and this one.
pub const OURS: &str = "ca.pem";
/// The file for variables that replace the system's list: that list and ours.
pub const BUNDLE: &str = "bundle.pem";
/// Addresses that the CA is made for, one a line. Written last: while it is missing everything is made anew.
const ADDRESSES: &str = "addresses";
const KEY: &str = "ca.key";
const CERTIFICATE: &str = "own.pem";

/// What the router shows to clients of the proxy form.
#[derive(Debug, Clone)]
pub struct ProxyFormCertificate {
    pub chain_pem: String,
    pub key_pem: String,
    /// The addresses of ours that it names.
    pub addresses: Vec<IpAddr>,
}

/// The addresses that were asked for so far; `None` when the proxy form never was.
pub fn addresses(folder: &Path) -> Result<Option<Vec<IpAddr>>, CaError> {
    match std::fs::read_to_string(folder.join(ADDRESSES)) {
        Ok(text) => Ok(Some(text.lines().filter_map(|line| line.parse().ok()).collect())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CaError::File { path: folder.join(ADDRESSES), source }),
    }
}

/// Makes the CA in `folder` for these addresses and those asked for before, or reads it again, and issues a fresh
/// certificate. `platform_ca` is the certificate of the platform's own CA, which the client's files have as well.
///
/// # Errors
/// When the folder cannot be used.
pub fn prepare(
    folder: &Path,
    platform_ca: &Path,
    asked: &[IpAddr],
    now: UnixMicros,
) -> Result<ProxyFormCertificate, CaError> {
    std::fs::create_dir_all(folder).map_err(|source| CaError::File { path: folder.into(), source })?;
    let known = addresses(folder)?;
    let mut all = known.clone().unwrap_or_default();
    // The newest last: it is the one to hand out where the client's is not among them.
    all.retain(|address| !asked.contains(address));
    all.extend(asked);
    let is_new = known.as_ref().is_none_or(|known| asked.iter().any(|address| !known.contains(address)));
    if is_new || !folder.join(KEY).exists() || !folder.join(CERTIFICATE).exists() {
        let key = KeyPair::generate()?;
        let ca = ca_params(&all, now)?.self_signed(&key)?;
        let _ = durable!("ca.addresses_removed", std::fs::remove_file(folder.join(ADDRESSES)));
        write(&folder.join(KEY), key.serialize_pem().as_bytes(), 0o600)?;
        write(&folder.join(CERTIFICATE), ca.pem().as_bytes(), 0o644)?;
    }
    let own = read(&folder.join(CERTIFICATE))?;
    let ours = format!("{}{own}", read(platform_ca)?);
    write(&folder.join(OURS), ours.as_bytes(), 0o644)?;
    write(&folder.join(BUNDLE), format!("{}\n{ours}", system_certificates()).as_bytes(), 0o644)?;
    let list: String = all.iter().map(|address| format!("{address}\n")).collect();
    write(&folder.join(ADDRESSES), list.as_bytes(), 0o644)?;
    let issuer = Issuer::new(ca_params(&all, now)?, KeyPair::from_pem(&read(&folder.join(KEY))?)?);
    let key = KeyPair::generate()?;
    let leaf = leaf_params(&all, now)?.signed_by(&key, &issuer)?;
    let (chain_pem, key_pem) = (format!("{}{own}", leaf.pem()), key.serialize_pem());
    Ok(ProxyFormCertificate { chain_pem, key_pem, addresses: all })
}

fn ca_params(addresses: &[IpAddr], now: UnixMicros) -> Result<CertificateParams, rcgen::Error> {
    let names = proxy_form::subtrees().map(|name| GeneralSubtree::DnsName(name.to_owned()));
    let addresses = addresses.iter().map(|address| match address {
        IpAddr::V4(address) => CidrSubnet::V4(address.octets(), [0xff; 4]),
        IpAddr::V6(address) => CidrSubnet::V6(address.octets(), [0xff; 16]),
    });
    let mut permitted: Vec<_> = names.chain(addresses.map(GeneralSubtree::IpAddress)).collect();
    if !permitted.iter().any(|tree| matches!(tree, GeneralSubtree::IpAddress(_))) {
        // Names of a kind that no constraint speaks of are all permitted: none of ours is this address.
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0xff; 4])));
    }
    constrained_ca("Paddock CA of the proxy form".to_owned(), permitted, now)
}

fn leaf_params(addresses: &[IpAddr], now: UnixMicros) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(proxy_form::names().collect::<Vec<_>>())?;
    be_valid(&mut params, now, LEAF_DAYS);
    params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.distinguished_name.push(DnType::CommonName, proxy_form::DOMAIN);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: UnixMicros = UnixMicros(1_780_000_000_000_000);

    #[test]
    fn it_is_made_once_and_anew_for_a_further_address() {
        let folder = tempfile::tempdir().unwrap();
        let platform = folder.path().join("platform.pem");
        std::fs::write(&platform, "PLATFORM\n").unwrap();
        let own = folder.path().join("proxy-form");
        assert!(addresses(&own).unwrap().is_none());
        let first = prepare(&own, &platform, &[], NOW).unwrap();
        assert_eq!(addresses(&own).unwrap(), Some(Vec::new()));
        let made = read(&own.join(CERTIFICATE)).unwrap();
        let second = prepare(&own, &platform, &[], NOW).unwrap();
        assert_eq!(read(&own.join(CERTIFICATE)).unwrap(), made);
        assert_ne!(first.key_pem, second.key_pem);

        let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        prepare(&own, &platform, &[one], NOW).unwrap();
        let other = read(&own.join(CERTIFICATE)).unwrap();
        assert_ne!(other, made);
        assert_eq!(prepare(&own, &platform, &[two], NOW).unwrap().addresses, [one, two]);
        let newest = read(&own.join(CERTIFICATE)).unwrap();
        assert_eq!(
            prepare(&own, &platform, &[one], NOW).unwrap().addresses,
            [two, one],
            "the one asked for last"
        );
        assert_eq!(read(&own.join(CERTIFICATE)).unwrap(), newest, "nothing new");
        assert_eq!(read(&own.join(OURS)).unwrap(), format!("PLATFORM\n{newest}"));
        let mode = std::fs::metadata(own.join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
