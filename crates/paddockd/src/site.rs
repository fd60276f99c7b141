//! What the operator's environment says of the site: proxies, certificates, registries, for builds and for what the
//! server fetches itself.
//!
//! A shell in which `paddockd env` was evaluated has such variables too, for the client of a server. A server that is
//! started there takes them for nobody's: builds have no data folder, and the way to the site is not by ourselves.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];
/// Files and folders of certificates.
const CERTIFICATES: [&str; 8] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
];
/// Whatever else builds are given. Source: `docs/contract/buildpacks.md`, section 4, "Site environment".
const OTHERS: [&str; 8] = [
    "no_proxy",
    "NO_PROXY",
    "NPM_CONFIG_REGISTRY",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "GOPROXY",
    "CURL_TIMEOUT",
];
/// A file that every data folder has.
const DATA_FOLDER_MARK: &str = "server-id";

/// The operator's environment, for a server of this data folder and address.
pub(crate) struct Site<L> {
    lookup: L,
    data: std::path::PathBuf,
    listen: SocketAddr,
}

impl<L: Fn(&str) -> Option<String>> Site<L> {
    pub(crate) fn new(lookup: L, data: &Path, listen: SocketAddr) -> Self {
        Self { lookup, data: data.to_owned(), listen }
    }

    /// A variable, unless it is for the client of a server.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !self.is_for_clients(name, value))
    }

    fn is_for_clients(&self, name: &str, value: &str) -> bool {
        if PROXIES.contains(&name) {
            return leads_to(value, self.listen);
        }
        CERTIFICATES.contains(&name) && paths(value).any(|path| self.is_in_data_folder(path))
    }

    /// All variables for builds, which see the folder of the operator's buildpacks.
    pub(crate) fn for_builds(&self, buildpack_folder: Option<&Path>) -> Vec<(String, String)> {
        let names = PROXIES.into_iter().chain(CERTIFICATES).chain(OTHERS);
        let all = names.filter_map(|name| Some((name.to_owned(), (self.lookup)(name)?)));
        let (left_out, found): (Vec<_>, Vec<_>) =
            all.partition(|(name, value)| self.is_for_clients(name, value));
        for (name, value) in left_out {
            tracing::info!(name, value, "builds do not get this variable: it is for clients of a server");
        }
        for (name, value) in found.iter().filter(|(name, _)| CERTIFICATES.contains(&name.as_str())) {
            let is_shown = |path: &Path| buildpack_folder.is_some_and(|folder| path.starts_with(folder));
            if !paths(value).all(|path| builds_see(path) || is_shown(path)) {
                tracing::warn!(
                    name,
                    value,
                    "builds do not see this file: they have of this machine /usr without /usr/local, and /etc/ssl/certs"
                );
            }
        }
        found
    }

    fn is_in_data_folder(&self, path: &Path) -> bool {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        [path, &real].into_iter().any(|path| path.starts_with(&self.data))
            || real.ancestors().any(|folder| folder.join(DATA_FOLDER_MARK).is_file())
    }
}

/// The paths of a value: a list of folders has colons between them.
fn paths(value: &str) -> impl Iterator<Item = &Path> {
    value.split(':').filter(|path| !path.is_empty()).map(Path::new)
}

/// Whether a path is part of the host stack.
fn builds_see(path: &Path) -> bool {
    let below = |folder: &str| path.starts_with(folder);
    (below("/usr") && !below("/usr/local") && !below("/usr/src")) || below("/etc/ssl/certs")
}

/// Whether a proxy's URL leads to a server that listens there, on this machine.
fn leads_to(url: &str, listen: SocketAddr) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    if port.parse() != Ok(listen.port()) {
        return false;
    }
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => {
            address.is_loopback()
                || address == listen.ip()
                || (listen.ip().is_unspecified() && is_ours(address))
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Whether this machine has an address: nothing is sent to find out.
fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builds_of(env: &[(&str, &str)], data: &Path, listen: &str) -> Vec<(String, String)> {
        let lookup =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Site::new(lookup, data, listen.parse().unwrap()).for_builds(None)
    }

    #[test]
    fn every_variable_for_builds_is_documented() {
        let page = include_str!("../../../docs/operation.md");
        for name in PROXIES.into_iter().chain(CERTIFICATES).chain(OTHERS) {
            assert!(page.contains(&format!("`{name}`")), "{name} is missing in docs/operation.md");
        }
    }

    #[test]
    fn what_a_client_of_a_server_was_given_is_not_for_builds() {
        let root = tempfile::tempdir().unwrap();
        let (data, other) = (root.path().join("data"), root.path().join("other"));
        for folder in [&data, &other] {
            std::fs::create_dir_all(folder.join("ca")).unwrap();
        }
        std::fs::write(other.join(DATA_FOLDER_MARK), "").unwrap();
        std::fs::write(other.join("ca/ca.pem"), "").unwrap();
        std::os::unix::fs::symlink(&other, root.path().join("link")).unwrap();
        let (ours, others) = (data.join("ca/ca.pem"), root.path().join("link/ca/ca.pem"));
        let folders = format!("/etc/ssl/certs:{}", data.join("ca").display());
        let env = [
            ("NODE_EXTRA_CA_CERTS", ours.to_str().unwrap()),
            ("GIT_SSL_CAINFO", others.to_str().unwrap()),
            ("SSL_CERT_DIR", &folders),
            ("SSL_CERT_FILE", "/etc/ssl/certs/site.pem"),
            ("HTTPS_PROXY", "http://127.0.0.1:5080"),
            ("https_proxy", "http://user:word@proxy.example:5080/"),
            ("NPM_CONFIG_REGISTRY", "https://npm.example/"),
            ("HEROKU_HOST", "http://localhost:5080"),
        ];
        let kept: Vec<_> =
            builds_of(&env, &data, "127.0.0.1:5080").into_iter().map(|(name, _)| name).collect();
        assert_eq!(kept, ["https_proxy", "SSL_CERT_FILE", "NPM_CONFIG_REGISTRY"]);
    }

    #[test]
    fn a_proxy_is_left_out_only_where_it_is_this_server() {
        for (url, listen, is_us) in [
            ("http://localhost:5080", "127.0.0.1:5080", true),
            ("http://[::1]:5080/", "0.0.0.0:5080", true),
            ("127.0.0.1:5080", "0.0.0.0:5080", true),
            ("http://198.51.100.7:80", "198.51.100.7:80", true),
            ("http://127.0.0.1:3128", "127.0.0.1:5080", false),
            ("http://198.51.100.7:5080", "127.0.0.1:5080", false),
            ("http://198.51.100.7:5080", "0.0.0.0:5080", false),
            ("http://proxy.example:5080", "0.0.0.0:5080", false),
            ("", "127.0.0.1:5080", false),
        ] {
            assert_eq!(leads_to(url, listen.parse().unwrap()), is_us, "{url} {listen}");
        }
    }

    #[test]
    fn builds_see_what_the_stack_has() {
        for (path, is_seen) in [
            ("/etc/ssl/certs/ca-certificates.crt", true),
            ("/usr/share/ca-certificates/site.crt", true),
            ("/usr/local/share/ca-certificates/site.crt", false),
            ("/opt/site.pem", false),
        ] {
            assert_eq!(builds_see(Path::new(path)), is_seen, "{path}");
        }
    }
}
