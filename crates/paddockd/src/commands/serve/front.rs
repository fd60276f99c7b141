//! What stands between the clients and the control plane: the router, adopted or started, and the sockets it leads to.

use std::sync::Arc;

use paddock_control::certificate_authority;
use paddock_control::clock::{Clock as _, SystemClock};
use paddock_control::router_link::{RouterError, RouterHello, RouterLink};
use paddock_core::error::chain;
use paddock_ipc::routes::ListenerKind;
use paddock_runtime_linux::LinuxRuntime;
use tokio::net::UnixListener;

use crate::instance::Instance;
use crate::paths::Paths;
use crate::router_process::{self, RouterProcess};
use crate::settings::Settings;
use crate::start_error::StartError;
use crate::wiring;

/// What stands between the clients and the control plane.
pub(super) struct Front {
    pub(super) router: Arc<RouterProcess>,
    pub(super) link: Arc<RouterLink>,
    pub(super) api_socket: UnixListener,
    pub(super) rendezvous_socket: UnixListener,
}

impl Front {
    /// Fails where the port is somebody else's.
    pub(super) async fn open(
        settings: &Settings,
        paths: &Paths,
        instance: &Instance,
        runtime: &LinuxRuntime,
    ) -> Result<Self, StartError> {
        let ca = certificate_authority::prepare(&paths.ca(), &settings.domain, SystemClock.now())?;
        let router = Arc::new(RouterProcess {
            program: router_process::program_id()?,
            paths: paths.clone(),
            instance: instance.clone(),
        });
        router.prepare_folder(&ca.chain_pem, &ca.key_pem)?;
        let api_socket = wiring::listen_for(&paths.serve_socket(), instance.router_uid())?;
        let rendezvous_socket = wiring::listen_for(&paths.rendezvous_socket(), instance.router_uid())?;
        let link = Arc::new(RouterLink::new(paths.router_socket(), instance.letters.clone()));
        adopt_or_start(settings, &link, &router, runtime).await?;
        Ok(Self { router, link, api_socket, rendezvous_socket })
    }
}

/// Ports are bound only when no router of this data directory answers.
async fn adopt_or_start(
    settings: &Settings,
    link: &RouterLink,
    router: &RouterProcess,
    runtime: &LinuxRuntime,
) -> Result<(), StartError> {
    let mut kept = Vec::new();
    match link.adopt().await {
        Ok(hello) if hello.listeners.iter().any(|listener| listener.address == settings.listen) => {
            if hello.program == router.program {
                tracing::info!("adopted the router (process {})", hello.pid);
            } else {
                upgrade(link, router, &hello).await;
            }
            return Ok(());
        }
        Ok(_) => {
            tracing::info!(
                "the router listens elsewhere: it ends, and another starts on {}",
                settings.listen
            );
            kept = link.take_listeners();
            link.stop().await?;
        }
        Err(RouterError::Away { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // The old router drains with the forwarder's sockets still open: they are used again, not bound again.
    kept.retain(|(listener, _)| listener.kind != ListenerKind::Public);
    link.keep_listeners(router_process::bind(settings.listen, runtime.bridge_address(), kept)?);
    let hello = link.start(router).await?;
    tracing::info!("started the router (process {})", hello.pid);
    Ok(())
}

/// Puts a router of this build in the place of another one's. Where that fails the old one goes on: an upgrade of
/// `serve` is no reason to refuse requests.
async fn upgrade(link: &RouterLink, router: &RouterProcess, old: &RouterHello) {
    match link.replace(router).await {
        Ok(new) => tracing::info!(
            "the router (process {}) takes over from process {}, which runs {}",
            new.pid,
            old.pid,
            old.program
        ),
        Err(error) => tracing::error!(
            error = chain(&error),
            "could not replace the router: process {} goes on with {}",
            old.pid,
            old.program
        ),
    }
}
