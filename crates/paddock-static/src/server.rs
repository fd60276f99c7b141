//! The server that a dyno of a static site runs: one thread for its connections, a few for files.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::Server;
use crate::site;

/// The most connections at once. More wait for one to end.
const CONNECTIONS_MAX: usize = 1024;
/// Threads that read files.
const FILE_THREADS: usize = 4;
const THREAD_STACK_BYTES: usize = 512 * 1024;
/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long a connection may be without a request.
const IDLE_TIME: Duration = Duration::from_secs(90);
/// How long connections have to end: less than a dyno has.
const LEAVE_TIME: Duration = Duration::from_secs(25);
/// How long nothing is accepted when the system has no more to give.
const PAUSE: Duration = Duration::from_millis(100);

/// The program, `paddockd static-server [FOLDER]`. `environment` is the whole environment of the process, which only
/// `paddockd` reads.
pub fn static_server_main(
    mut arguments: impl Iterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let folder = arguments.next().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let environment: Vec<(String, String)> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match run(&folder, &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say(&problem);
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn run(folder: &Path, environment: &[(String, String)]) -> Result<(), String> {
    let variable =
        |wanted: &str| environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let site = site::read(folder, variable)?;
    let port = variable("PORT").ok_or("PORT is not set: it says where to listen.")?;
    let port: u16 = port.parse().map_err(|_| format!("PORT is no number of a port: {port:?}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FILE_THREADS)
        .thread_stack_size(THREAD_STACK_BYTES)
        .build()
        .map_err(|error| format!("The server cannot start: {error}"))?;
    say(&format!("Serving {} on port {port}", site.root_name));
    let server = Arc::new(Server::new(site));
    let ended = runtime.block_on(serve(server, port));
    runtime.shutdown_background();
    ended.map_err(|error| format!("The server cannot listen on port {port}: {error}"))
}

async fn serve(server: Arc<Server>, port: u16) -> io::Result<()> {
    let mut end = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    let (leaving, connections) = (CancellationToken::new(), TaskTracker::new());
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            _ = end.recv() => break,
            _ = interrupt.recv() => break,
        };
        // A client that is gone again, or no more descriptors: neither is the end of the server.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (server, leaving) = (Arc::clone(&server), leaving.clone());
        connections.spawn(async move {
            connection(server, stream, leaving).await;
            drop(place);
        });
    }
    drop(listener);
    leaving.cancel();
    connections.close();
    let _ = tokio::time::timeout(LEAVE_TIME, connections.wait()).await;
    Ok(())
}

async fn connection(server: Arc<Server>, stream: TcpStream, leaving: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let server = Arc::clone(&server);
        async move {
            let (head, _) = request.into_parts();
            let answer = tokio::task::spawn_blocking(move || server.answer(&head)).await;
            // Whoever panicked has said so; the connection alone ends.
            Ok::<_, Infallible>(answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())))
        }
    });
    let _ = stream.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = leaving.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
