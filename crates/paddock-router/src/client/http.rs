//! The requests of a client's connection, one after the other, and who answers each.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use paddock_http1::{Defect, Form, Progress, Refused, Request};
use tokio::time::Instant;

use crate::app;
use crate::app::send;
use crate::client::proxy_form;
use crate::connection::socket;
use crate::connection::stream::{Duplex, Stream, Watched};
use crate::connection::{self, Connection};
use crate::exchange::Exchange;
use crate::exchange::client::{Asked, Became, Client, Next};
use crate::exchange::page;
use crate::platform;
use crate::routes::host::host_name;
use crate::routes::table::Destination;

/// What comes after a request.
enum Then {
    Next(Next),
    AppTunnel(send::Tunnel),
    PlatformTunnel(platform::Tunnel),
    /// The client of the proxy form begins TLS.
    Proxied,
}

impl From<Became<send::Tunnel>> for Then {
    fn from(became: Became<send::Tunnel>) -> Self {
        match became {
            Became::Answered(next) => Self::Next(next),
            Became::Tunnel(tunnel) => Self::AppTunnel(tunnel),
        }
    }
}

impl From<Became<platform::Tunnel>> for Then {
    fn from(became: Became<platform::Tunnel>) -> Self {
        match became {
            Became::Answered(next) => Self::Next(next),
            Became::Tunnel(tunnel) => Self::PlatformTunnel(tunnel),
        }
    }
}

/// Serves HTTP on a stream until it ends.
pub(crate) async fn serve_http(stream: impl Duplex + 'static, connection: Arc<Connection>) {
    let client = Client::new(Box::new(Watched::new(stream, connection.clone())));
    // How a client's connection ends is in the record of its last request.
    tokio::select! {
        biased;
        () = connection.router.stop.forced() => {}
        () = serve(client, &connection) => {}
    }
}

async fn serve(mut client: Client, connection: &Arc<Connection>) {
    loop {
        let Some(request) = next(&mut client, connection).await else { return };
        let then = tokio::select! {
            biased;
            then = answer(&mut client, connection, request) => then,
            () = socket::reset(&connection.socket) => return,
        };
        match then {
            Then::Next(Next::Again) => client.reader.rest(),
            Then::Next(Next::Close { is_unread }) => return client.close(is_unread).await,
            Then::Next(Next::Broken) => return,
            Then::AppTunnel(tunnel) => return tunnel.run(client).await,
            Then::PlatformTunnel(tunnel) => return tunnel.run(client, connection).await,
            Then::Proxied => return Box::pin(serve_proxied(connection, client.into_stream())).await,
        }
        if client.has_begun() {
            // It does not wait for answers: others have their turn between its requests.
            tokio::task::yield_now().await;
        }
    }
}

/// The next request; `None` when the client ends or is too slow, or the router is to stop.
async fn next(client: &mut Client, connection: &Connection) -> Option<Result<Request, Refused>> {
    let stop = &connection.router.stop;
    let deadline = Instant::now() + connection.idle();
    loop {
        if let Progress::Done(request) = client.take_head() {
            return Some(request);
        }
        let has_begun = client.has_begun();
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout_at(deadline, client.reader.fill()) => read,
            () = stop.draining(), if !has_begun => return None,
        };
        if !matches!(read, Ok(Ok(1..))) {
            return None;
        }
    }
}

const TOO_MANY: &str = "Too many clients are connected. Please try again in a few seconds.";

async fn answer(
    client: &mut Client,
    connection: &Arc<Connection>,
    request: Result<Request, Refused>,
) -> Then {
    let mut asked = match request.and_then(understand) {
        Ok(asked) => asked,
        Err(refused) => return Then::Next(refuse(client, connection, refused).await),
    };
    if &asked.request.method[..] == b"CONNECT" {
        let refused = match connection.place.is_surplus {
            true => Some(page::refusal(503, TOO_MANY)),
            false => proxy_form::refused(connection, &asked.request.target),
        };
        return match refused {
            Some(page) => Then::Next(client.say(page, &mut asked, connection).await),
            None => begin_proxied(client).await,
        };
    }
    let Some(name) = name(&asked.host).map(Cow::into_owned) else {
        let refused = Refused { defect: Defect::Host, request: asked.request };
        return Then::Next(refuse(client, connection, refused).await);
    };
    let page = if connection.is_tunnelled {
        match paddock_core::proxy_form::host(&name) {
            Some(_) => return platform::answer(client, connection, asked).await.into(),
            None => page::refusal(421, "The proxy form leads to the platform alone."),
        }
    } else {
        match connection.router.destination(&name).await {
            Some(Destination::Platform) if connection.place.is_surplus => page::unavailable(TOO_MANY),
            Some(Destination::Platform) => return platform::answer(client, connection, asked).await.into(),
            Some(Destination::App(app)) => return app::answer(client, connection, app, asked).await.into(),
            Some(Destination::Unknown) => page::no_such_app(&name),
            None => page::unavailable("The platform is starting. Please try again in a few seconds."),
        }
    };
    Then::Next(client.say(page, &mut asked, connection).await)
}

/// Finds out what a request asks for, of which host, and where its body ends.
fn understand(mut request: Request) -> Result<Asked, Refused> {
    let understood = request.form().and_then(|form| {
        let host = match form {
            Form::Authority => request.target.clone(),
            _ => request.host()?,
        };
        Ok((form, host, request.body()?))
    });
    match understood {
        Ok((form, host, body)) => {
            if let Form::Absolute { path, .. } = form {
                request.target = path;
                request.fields.set("Host", host.clone());
            }
            Ok(Asked::new(request, host, body))
        }
        Err(defect) => Err(Refused { defect, request }),
    }
}

fn name(host: &[u8]) -> Option<Cow<'_, str>> {
    host_name(std::str::from_utf8(host).ok()?)
}

/// Tells the client what is wrong with its request, and the app whose request it was.
async fn refuse(client: &mut Client, connection: &Arc<Connection>, refused: Refused) -> Next {
    let Refused { defect, request } = refused;
    let host = request.host().unwrap_or(Bytes::new());
    let destination = match name(&host) {
        Some(name) if !connection.is_tunnelled => connection.router.destination(&name).await,
        _ => None,
    };
    let page = match destination {
        Some(Destination::Platform) => page::bad_request(defect),
        Some(Destination::App(app)) => {
            let (mut exchange, _) = Exchange::begin(connection.clone(), app, host, &request);
            exchange.refused(defect);
            page::refusal(defect.status(), &defect.sentence())
        }
        Some(Destination::Unknown) | None => page::refusal(defect.status(), &defect.sentence()),
    };
    client.refuse(page, &request.method[..] == b"HEAD").await
}

/// Tells the client of the proxy form to begin.
async fn begin_proxied(client: &mut Client) -> Then {
    match client.send(&mut BytesMut::from("HTTP/1.1 200 OK\r\n\r\n")).await {
        Ok(()) => Then::Proxied,
        Err(_) => Then::Next(Next::Broken),
    }
}

/// What comes after that answer: TLS, and HTTP inside it.
async fn serve_proxied(outer: &Connection, stream: Stream) {
    let router = outer.router.clone();
    let handshake = router.proxy_certificates.acceptor().accept(stream);
    let stream = tokio::select! {
        stream = tokio::time::timeout(router.config.limits.handshake, handshake) => stream,
        () = router.stop.draining() => return,
    };
    let Ok(Ok(stream)) = stream else { return };
    let version = connection::tls_version(stream.get_ref().1);
    serve_http(stream, Arc::new(Connection::tunnelled(outer, version))).await;
}
