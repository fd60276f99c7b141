//! What runs until the server ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use paddock_api::Api;
use paddock_control::reconcile::Task;
use paddock_control::router_link::RouterLink;
use paddock_control::{Control, RouterUpkeep, push};
use paddock_core::error::chain;
use paddock_outbound::s3::Bucket;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::CertificateReconciler;
use crate::paths::Paths;
use crate::proxy_form::ProxyForm;
use crate::router_process::RouterProcess;
use crate::start_error::StartError;
use crate::wiring;

/// Everything that runs until the end. A task that ends by itself, by a panic or otherwise, ends the server: whoever
/// watches over it starts it anew, rather than that, say, dynos are never looked after again.
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) broken: Arc<AtomicBool>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), broken: Arc::default() }
    }

    /// Says at once what backups would meet with later. It is no reason not to serve.
    pub(super) fn look_at_backups(&self, bucket: Option<Bucket>) {
        let Some(bucket) = bucket else { return };
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let shown = bucket.shown();
            if !bucket.is_encrypted() {
                tracing::warn!("backups of databases go to {shown} by http, in clear");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                checked = bucket.check() => match checked {
                    Ok(()) => tracing::info!("backups of databases go to {shown}"),
                    Err(error) => tracing::error!(error = chain(&error), "backups of databases cannot be kept in {shown}"),
                },
            }
        });
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, broken) = (self.stop.clone(), self.broken.clone());
        self.tracker.spawn(async move {
            #[expect(clippy::disallowed_methods, reason = "it is waited for, so that a panic is seen")]
            let ended = tokio::spawn(task).await;
            if !stop.is_cancelled() {
                let error = ended.err().map(|error| error.to_string());
                tracing::error!(error, "the task {name} has ended by itself: the server ends");
                broken.store(true, Ordering::Relaxed);
                stop.cancel();
            }
        });
    }
}

/// Reconcilers, jobs, pushes. Order does not matter: each looks for itself.
pub(super) fn start_tasks(
    control: &Arc<Control>,
    link: &Arc<RouterLink>,
    router: Arc<RouterProcess>,
    proxy_form: &Arc<ProxyForm>,
    paths: &Paths,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let stop = &tasks.stop;
    let certificates = CertificateReconciler {
        control: control.clone(),
        router: router.clone(),
        proxy_form: proxy_form.clone(),
        paths: paths.clone(),
    };
    let upkeep = RouterUpkeep { starter: router, link: link.clone(), folder: paths.router() };
    let mut reconcilers = control.reconcilers(Some(upkeep));
    reconcilers.push(Task::new(control.kernel.clone(), certificates));
    for reconciler in reconcilers {
        tasks.spawn(reconciler.name, reconciler.run(stop.clone()));
    }
    tasks.spawn("changes", wiring::pass_on_changes(control.clone(), stop.clone()));
    let hooks = control.repositories().listen()?;
    tasks.spawn("pushes", push::receive_pushes(control.deploy.clone(), hooks, stop.clone()));
    let (runner, owner, token) = (control.clone(), uuid::Uuid::new_v4().to_string(), stop.clone());
    tasks.spawn("jobs", async move {
        if let Err(error) = runner.run_jobs(owner, token).await {
            tracing::error!(error = chain(&error), "jobs are not run");
        }
    });
    Ok(())
}

pub(super) fn start_listeners(
    control: &Arc<Control>,
    api_socket: UnixListener,
    rendezvous_socket: UnixListener,
    tasks: &Tasks,
) {
    let api = Arc::new(Api::new(control.clone()));
    tasks.spawn("api", paddock_api::serve(api_socket, api.clone(), tasks.stop.clone()));
    let sessions = paddock_api::serve_rendezvous(rendezvous_socket, api, tasks.stop.clone());
    tasks.spawn("rendezvous", sessions);
}
