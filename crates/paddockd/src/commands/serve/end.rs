//! The end of everything that outlives a server: dynos, router, and what was made in the kernel.

use std::path::PathBuf;

use paddock_control::Control;
use paddock_control::router_link::RouterLink;
use paddock_runtime_linux::LinuxRuntime;

use crate::data_dir::take_lock;
use crate::instance::Instance;
use crate::paths::Paths;
use crate::start_error::StartError;
use crate::wiring;

/// Dynos, then what they have their data in; the router, and everything that was made in the kernel.
pub(super) async fn end_everything(
    control: &Control,
    link: &RouterLink,
    runtime: &LinuxRuntime,
) -> Result<(), StartError> {
    control.dynos.stop_all_dynos().await?;
    control.addons.stop_all_servers().await?;
    if let Err(error) = link.stop().await {
        tracing::debug!(%error, "the router was gone already");
    }
    drop(link.take_listeners());
    runtime.destroy_instance().await?;
    Ok(())
}

/// `paddockd stop --stop-dynos` where no server runs: what a killed server left is ended all the same.
pub(crate) fn end_without_server(paths: &Paths) -> Result<(), StartError> {
    let _lock = take_lock(&paths.serve_lock())?;
    let instance = Instance::of(&paths.data);
    let program: PathBuf = std::env::current_exe()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let link = RouterLink::new(paths.router_socket(), instance.letters.clone());
        // Also where none takes clients: one may still finish with its last.
        let adopted = link.adopt().await;
        let stopped = link.stop().await;
        if adopted.is_ok() {
            stopped?;
        }
        let containers = wiring::open_bare_runtime(paths, &instance, &program).await?;
        containers.destroy_instance().await?;
        Ok(())
    })
}
