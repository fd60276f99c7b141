//! The API's socket: a connection from the router is a PROXY header, then HTTP/1.1 with upgrades.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::accept::accept_on;
use crate::client::Client;
use crate::{Api, conditional, routes};

/// How long a connection may take to send its PROXY header and each request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// What the router lets through is read: it has said no to longer heads already.
const HEADERS_MAX: usize = 1100;
const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// How long requests in flight get to finish when the server ends: less than the server gives all its tasks.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(15);

/// Serves the API until `shutdown`: then accepts no more, finishes what is in flight (up to 15 s), and returns.
pub async fn serve(listener: UnixListener, api: Arc<Api>, shutdown: CancellationToken) {
    let router = routes::router(api.clone());
    let serve = |stream| connection(stream, api.clone(), router.clone(), shutdown.clone());
    let connections = accept_on(listener, &shutdown, serve).await;
    api.stopping.cancel();
    if tokio::time::timeout(DRAIN_TIME_MAX, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were still in flight at the end");
    }
}

async fn connection(mut stream: UnixStream, api: Arc<Api>, router: Router, shutdown: CancellationToken) {
    let client = match tokio::time::timeout(HEAD_TIME_MAX, Client::read(&mut stream)).await {
        Ok(Ok(client)) => client,
        // The router connects ahead of need and may hang up unused.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => return,
        Ok(Err(error)) => return tracing::warn!(%error, "a connection did not begin as the router's do"),
        Err(_) => return tracing::warn!("a connection sent no PROXY header in time"),
    };
    let service =
        hyper::service::service_fn(move |request| answer(api.clone(), router.clone(), client, request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    http.max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients hang up; that is no news to an operator.
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(
    api: Arc<Api>,
    router: Router,
    client: Client,
    mut request: Request<Incoming>,
) -> Result<http::Response<Body>, std::convert::Infallible> {
    request.extensions_mut().insert(client);
    let mut request = request.map(Body::new);
    override_method(&mut request);
    let (request, _turn) = conditional::weigh(&api, &router, request).await;
    router.oneshot(request).await
}

/// Clients that can send nothing but GET and POST name the method in a header of a POST.
/// Before routing, so that it is the method everywhere.
fn override_method(request: &mut Request<Body>) {
    let meant = request.headers().get("x-http-method-override").map(HeaderValue::as_bytes);
    let meant = meant.and_then(|method| Method::from_bytes(&method.to_ascii_uppercase()).ok());
    let known = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE];
    if let Some(method) = meant.filter(|method| request.method() == Method::POST && known.contains(method)) {
        *request.method_mut() = method;
    }
}
