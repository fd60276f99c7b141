//! `paddockd serve`: opens everything, announces itself, runs until told to end, drains.

mod args;
mod end;
mod front;
mod tasks;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paddock_core::error::chain;
use rustix::process::{Resource, Rlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub(crate) use self::args::ServeArgs;
pub(crate) use self::end::end_without_server;

use self::end::end_everything;
use self::front::Front;
use self::tasks::{Tasks, start_listeners, start_tasks};
use crate::admin::{self, Admin, StopKind};
use crate::data_dir::{prepare_data_dir, take_lock};
use crate::instance::Instance;
use crate::notify;
use crate::paths::Paths;
use crate::proxy_form::ProxyForm;
use crate::settings::Settings;
use crate::start_error::StartError;
use crate::wiring;

/// How long tasks may take to end.
const DRAIN: Duration = Duration::from_secs(20);

pub(crate) fn run(args: ServeArgs) -> ExitCode {
    args.log_format.install();
    let settings = match args.check(wiring::environment) {
        Ok(settings) => settings,
        Err(problems) => return crate::complain(&problems.to_string()),
    };
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return crate::complain("another TLS provider was installed first");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return crate::complain(&format!("could not start threads: {error}")),
    };
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::complain(&chain(error.as_ref())),
    }
}

async fn serve(settings: Settings) -> Result<(), StartError> {
    raise_descriptor_limit();
    let paths = prepare_data_dir(&settings.data)?;
    let _lock = take_lock(&paths.serve_lock())?;
    wiring::check_machine(&paths.data)?;
    let instance = Instance::claim(&paths.data)?;
    instance.keep_ids(&paths.data)?;
    // The state first: without it nothing that runs is known to be anybody's.
    let store = wiring::open_store(&settings, &paths).await?;
    let program = std::env::current_exe()?;
    let containers = wiring::open_containers(&settings, &paths, &instance, &program).await?;
    let runtime = containers.runtime.clone();
    let front = match Front::open(&settings, &paths, &instance, &runtime).await {
        Ok(front) => front,
        Err(error) => {
            if let Err(error) = runtime.close_unused().await {
                tracing::warn!(error = chain(&error), "what was made in the kernel is left there");
            }
            return Err(error);
        }
    };
    let Front { router, link, api_socket, rendezvous_socket } = front;
    let control =
        wiring::open_control(&settings, &paths, &instance, &program, store, containers, link.clone()).await?;
    control.people.ensure_first_account(&settings.admin_email, &paths.admin_password()).await?;
    control.deploy.ensure_stream_key().await?;

    let proxy_form = Arc::new(ProxyForm::new(&settings, &paths, &router, runtime.container_network()));
    proxy_form.resume(&control).await?;

    let tasks = Tasks::new();
    start_tasks(&control, &link, router, &proxy_form, &paths, &tasks)?;
    start_listeners(&control, api_socket, rendezvous_socket, &tasks);
    tasks.look_at_backups(wiring::bucket(&settings, &paths)?);
    let admin = Arc::new(Admin {
        control: control.clone(),
        master_key: Mutex::new(settings.master_key(&paths)),
        paths: paths.clone(),
        proxy_form,
        stop: tasks.stop.clone(),
        stop_kind: Mutex::new(StopKind::ServerOnly),
        waiting: Mutex::default(),
    });
    admin::listen(admin.clone())?;
    announce(&settings, &paths);
    wait_for_end(&tasks.stop).await?;
    tasks.tracker.close();
    if tokio::time::timeout(DRAIN, tasks.tracker.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    if *admin::lock(&admin.stop_kind) == StopKind::Everything {
        end_everything(&control, &link, &runtime).await?;
    }
    control.close().await;
    #[expect(clippy::disallowed_methods, reason = "the last act of a server")]
    let _ = std::fs::remove_file(paths.admin_socket());
    drop(std::mem::take(&mut *admin::lock(&admin.waiting)));
    if tasks.broken.load(Ordering::Relaxed) {
        Err("a part of the server broke, see its log".into())
    } else {
        Ok(())
    }
}

/// Dynos, builds, clients and their log tails are descriptors here, and a shell gives 1024. Dynos have a limit of their own.
fn raise_descriptor_limit() {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })
    {
        tracing::warn!(%error, "could not raise the limit of open descriptors");
    }
}

fn announce(settings: &Settings, paths: &Paths) {
    let data = paths.data.display();
    let port = settings.listen.port();
    let text = format!(
        "Paddock is ready on http://{} (apps answer at NAME.{}:{port}).\n\
         Point the Heroku CLI at it with: eval \"$(paddockd env --data {data})\"\n",
        settings.listen, settings.domain
    );
    // A terminal that is gone is no reason to end.
    let _ = io::stdout().write_all(text.as_bytes());
    tracing::info!("ready on {}", settings.listen);
    notify::ready();
}

async fn wait_for_end(stop: &CancellationToken) -> io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let _hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        () = stop.cancelled() => {}
    }
    notify::stopping();
    tracing::info!("ending; dynos and the router go on unless they were asked to stop");
    stop.cancel();
    Ok(())
}
