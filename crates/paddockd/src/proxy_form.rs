//! Setting up the proxy form: certificates into the router's folder, and the variables for its clients.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use paddock_control::Control;
use paddock_control::certificate_authority::{CaError, proxy_form};
use paddock_control::proxy_form::OfferedProxyForm;
use paddock_core::proxy_form::DOMAIN;
use paddock_ipc::admin::ProxyClient;
use paddock_ipc::routes::{self, Network};

use crate::paths::Paths;
use crate::router_process::RouterProcess;
use crate::settings::Settings;

/// Everything that the proxy form needs of the server.
pub(crate) struct ProxyForm {
    paths: Paths,
    router: Arc<RouterProcess>,
    listen: SocketAddr,
    /// Also for clients that come by another address than loopback.
    beyond_loopback: bool,
    containers: Network,
    /// One at a time makes certificates.
    turn: Mutex<()>,
}

/// Why there are no variables for a client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyFormError {
    #[error("{0:?} is not an address of this server, such as 192.0.2.7")]
    NoAddress(String),
    #[error(
        "clients on other machines may use the proxy form only when the server was started with --proxy-form \
         (and listens on an address that they reach, such as --listen 0.0.0.0:{port})"
    )]
    LoopbackOnly { port: u16 },
    #[error("this server listens on {listen} alone: start it with --listen 0.0.0.0:{port} --proxy-form", port = listen.port())]
    NotListening { listen: SocketAddr },
    #[error("could not make the certificates of the proxy form")]
    Certificates(#[source] CaError),
    #[error("could not give the router the certificates of the proxy form")]
    Router(#[source] io::Error),
}

impl ProxyForm {
    /// Of a server with these settings, whose containers have this network.
    pub(crate) fn new(
        settings: &Settings,
        paths: &Paths,
        router: &Arc<RouterProcess>,
        (address, prefix): (IpAddr, u8),
    ) -> Self {
        Self {
            paths: paths.clone(),
            router: router.clone(),
            listen: settings.listen,
            beyond_loopback: settings.proxy_form,
            containers: Network { address, prefix },
            turn: Mutex::default(),
        }
    }

    /// Offers the proxy form where it was asked for before.
    pub(crate) async fn resume(&self, control: &Control) -> Result<(), ProxyFormError> {
        match proxy_form::addresses(&self.paths.proxy_form()).map_err(ProxyFormError::Certificates)? {
            Some(_) => self.offer(control, &[]).await,
            None => Ok(()),
        }
    }

    /// The variables for a client of the proxy form. Source: `docs/contract/heroku-cli.md`, 6.2. Programs
    /// that pass the proxy by are given the server's own address.
    pub(crate) async fn variables(
        &self,
        control: &Control,
        client: &ProxyClient,
    ) -> Result<Vec<(&'static str, String)>, ProxyFormError> {
        let address = self.address(client)?;
        let asked: Vec<_> = Some(address).filter(|address| !address.is_loopback()).into_iter().collect();
        self.offer(control, &asked).await?;
        let server = SocketAddr::new(address, self.listen.port());
        let folder = client.certificates.clone().unwrap_or_else(|| self.paths.proxy_form());
        let file = |name: &str| folder.join(name).display().to_string();
        let bundle = file(proxy_form::BUNDLE);
        Ok(vec![
            ("HEROKU_HOST", DOMAIN.into()),
            ("HEROKU_GIT_HOST", format!("git.{DOMAIN}")),
            ("HEROKU_DATA_HOST", format!("data.{DOMAIN}")),
            ("HEROKU_LOGIN_HOST", format!("https://{server}")),
            ("HEROKU_PARTICLEBOARD_URL", format!("https://particleboard.{DOMAIN}")),
            ("HEROKU_STATUS_HOST", format!("https://{server}")),
            ("HEROKU_BUILDPACK_REGISTRY_URL", format!("https://{server}")),
            ("HEROKU_EXEC_URL", format!("https://{server}/")),
            ("HEROKU_CI_WEBSOCKET_URL", format!("wss://{server}/socket")),
            ("PGDIAGNOSE_URL", format!("pgdiagnose.{DOMAIN}")),
            ("HTTPS_PROXY", format!("http://{server}")),
            ("NO_PROXY", address.to_string()),
            ("NODE_EXTRA_CA_CERTS", file(proxy_form::OURS)),
            ("GIT_SSL_CAINFO", bundle.clone()),
            ("SSL_CERT_FILE", bundle.clone()),
            ("REQUESTS_CA_BUNDLE", bundle),
        ])
    }

    fn address(&self, client: &ProxyClient) -> Result<IpAddr, ProxyFormError> {
        let listen = self.listen.ip();
        let Some(asked) = &client.address else {
            return match listen {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
                    Ok(Ipv4Addr::LOCALHOST.into())
                }
                address => self.allowed(address),
            };
        };
        let address: IpAddr = asked.parse().map_err(|_| ProxyFormError::NoAddress(asked.clone()))?;
        if address.is_unspecified() || address.is_multicast() {
            return Err(ProxyFormError::NoAddress(asked.clone()));
        }
        if listen.is_loopback() && !address.is_loopback() {
            return Err(ProxyFormError::NotListening { listen: self.listen });
        }
        self.allowed(address)
    }

    fn allowed(&self, address: IpAddr) -> Result<IpAddr, ProxyFormError> {
        if address.is_loopback() || self.beyond_loopback {
            Ok(address)
        } else {
            Err(ProxyFormError::LoopbackOnly { port: self.listen.port() })
        }
    }

    async fn offer(&self, control: &Control, asked: &[IpAddr]) -> Result<(), ProxyFormError> {
        let offered = {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let platform: PathBuf = self.paths.ca().join("ca.pem");
            let made = proxy_form::prepare(&self.paths.proxy_form(), &platform, asked, control.now())
                .map_err(ProxyFormError::Certificates)?;
            let (chain, key) = (&made.chain_pem, &made.key_pem);
            let mut certificates = self.router.keep_certificate("proxy-form", "", chain, key);
            for address in &made.addresses {
                certificates = certificates.and_then(|certificates| {
                    self.router
                        .keep_certificate("tls", &format!("{address}."), chain, key)
                        .map(|_| certificates)
                });
            }
            let certificates = certificates.map_err(ProxyFormError::Router)?;
            let (beyond_loopback, containers) = (self.beyond_loopback, self.containers);
            let route = routes::ProxyForm { beyond_loopback, containers, certificates };
            OfferedProxyForm { route, addresses: made.addresses }
        };
        control.routing.offer_proxy_form(offered).await;
        Ok(())
    }
}
