//! Requests of apps: may it be answered, by which dyno, within which limits.
//!
//! Source: contract `platform-behaviour.md`, sections 1 and 2. Order of precedence: maintenance, blank, no web
//! processes, crashed, starting, then what a connection meets.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::header::EXPECT;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use paddock_core::code::RouterCode;
use tokio::time::Instant;

use crate::accept::{Aborted, Connection};
use crate::body::{DynoBody, RequestBody, ResponseBody};
use crate::config::Limits;
use crate::dyno::{self, ConnectFailed, Dyno, Sender};
use crate::exchange::{Exchange, Upload};
use crate::header::{self, Forwarded, Protocol};
use crate::page;
use crate::table::{App, Web};
use crate::tunnel::{self, TunnelEnd};

/// Why a dyno's answer did not come.
enum Failure {
    /// The router answers with this code.
    Code(RouterCode, Option<&'static str>),
    /// The client broke off: nobody to answer.
    ClientGone,
    /// The app was destroyed while the request waited.
    AppGone,
}

impl From<RouterCode> for Failure {
    fn from(code: RouterCode) -> Self {
        Self::Code(code, None)
    }
}

/// A dyno's answer and what it came over.
struct Answer {
    response: Response<Incoming>,
    sender: Sender,
    upload: Option<Arc<Upload>>,
}

/// Answers a request of an app, and leaves its record.
pub(crate) async fn answer(
    connection: Arc<Connection>,
    app: Arc<App>,
    host: HeaderValue,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Aborted> {
    let upgrade = match header::protocol(request.headers()) {
        Protocol::Upgrade => Some(hyper::upgrade::on(&mut request)),
        Protocol::Http => None,
    };
    let (parts, body) = request.into_parts();
    let (mut exchange, in_flight) = Exchange::begin(connection, app, host, &parts);
    let passed_on = match admit(&exchange, in_flight, &parts) {
        Ok(()) => pass_on(&mut exchange, parts, body, upgrade.is_some()).await,
        Err(code) => Err(code),
    };
    match passed_on {
        Ok(answer) => finish(exchange, answer, upgrade),
        Err(failure) => fail(exchange, failure),
    }
}

fn fail(mut exchange: Box<Exchange>, failure: Failure) -> Result<Response<ResponseBody>, Aborted> {
    match failure {
        Failure::ClientGone => Err(Aborted),
        Failure::AppGone => {
            exchange.answered(StatusCode::NOT_FOUND.as_u16());
            Ok(page::no_such_app(&exchange.host.to_str().unwrap_or_default().to_ascii_lowercase()))
        }
        Failure::Code(code, detail) => {
            exchange.failed(code, detail);
            match code {
                // It says nothing itself: closing is the answer.
                RouterCode::H28 => Err(Aborted),
                code => Ok(page::for_code(&exchange.app, code)),
            }
        }
    }
}

/// Refuses what is refused whatever state the dynos are in, but for [`choose`], which looks at the newest table.
fn admit(exchange: &Exchange, in_flight: usize, request: &http::request::Parts) -> Result<(), Failure> {
    if exchange.connection.place.is_surplus {
        return Err(RouterCode::H22.into());
    }
    let dynos = exchange.app.dynos().len().max(1);
    if in_flight > dynos * exchange.limits().in_flight_per_dyno {
        return Err(RouterCode::H11.into());
    }
    match request.headers.get(EXPECT) {
        Some(expect) if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Failure::Code(RouterCode::H26, Some("unsupported expect header value")))
        }
        _ => Ok(()),
    }
}

/// Sends the request to a dyno, on a new connection a second time where that is safe, and waits for its head.
async fn pass_on(
    exchange: &mut Exchange,
    mut parts: http::request::Parts,
    body: Incoming,
    is_upgrade: bool,
) -> Result<Answer, Failure> {
    let protocol = if is_upgrade { Protocol::Upgrade } else { Protocol::Http };
    let forwarded = Forwarded {
        host: &exchange.host,
        request_id: &exchange.request_id,
        forwarded_for: &exchange.forwarded_for,
        tls: exchange.connection.tls_version.is_some(),
        port: exchange.connection.local.port(),
    };
    header::for_dyno(&mut parts, protocol, &forwarded);
    let upload = (!body.is_end_stream()).then(Upload::new);
    let body = match &upload {
        Some(upload) => RequestBody::Streaming { body, upload: upload.clone() },
        None => RequestBody::Empty,
    };
    let mut request = Request::from_parts(parts, body);
    let mut search = Search::new(exchange.limits());
    loop {
        let (mut sender, reused) = connect(exchange, &mut search).await?;
        match send(exchange, &mut sender, request, reused, upload.as_deref()).await? {
            Sent::Answered(response) => return Ok(Answer { response, sender, upload }),
            Sent::Stale(again) => {
                search.only_new = true;
                request = again;
            }
        }
    }
}

/// The search for a dyno for one request.
struct Search {
    /// Until when it may wait for a dyno.
    until: Instant,
    /// Dynos that did not take the connection.
    attempts: usize,
    last_failure: RouterCode,
    /// A connection that was used before turned out to be closed: use none of that kind.
    only_new: bool,
}

impl Search {
    fn new(limits: &Limits) -> Self {
        let until = Instant::now() + limits.dyno_wait;
        Self { until, attempts: 0, last_failure: RouterCode::H21, only_new: false }
    }
}

/// A connection to a dyno, and whether it was used before.
async fn connect(exchange: &mut Exchange, search: &mut Search) -> Result<(Sender, bool), Failure> {
    loop {
        let dyno = choose(exchange, search).await?;
        exchange.dyno = Some(dyno.clone());
        let limits = exchange.connection.router.config.limits.clone();
        if !search.only_new
            && let Some(sender) = dyno.reuse(&limits)
        {
            exchange.connect = Some(Duration::ZERO);
            return Ok((sender, true));
        }
        let began = Instant::now();
        let connected = dyno.connect(&limits).await;
        exchange.connect = Some(began.elapsed());
        match connected {
            Ok(sender) => return Ok((sender, false)),
            Err(failed) => {
                dyno.quarantine(&limits);
                search.attempts += 1;
                search.last_failure = match failed {
                    ConnectFailed::TimedOut => RouterCode::H19,
                    ConnectFailed::Refused => RouterCode::H21,
                };
                if search.attempts >= limits.connect_attempts {
                    return Err(search.last_failure.into());
                }
            }
        }
    }
}

/// What to do with a request, by the newest table.
enum Next {
    Use(Arc<Dyno>),
    /// Look again when the table changes, or at this moment; at the end of the search it is this code.
    Wait(Instant, RouterCode),
}

/// A dyno that may get the request; waits for one where the contract says so.
async fn choose(exchange: &Exchange, search: &Search) -> Result<Arc<Dyno>, Failure> {
    let routes = &exchange.connection.router.routes;
    if let Next::Use(dyno) = look(exchange, search)? {
        return Ok(dyno);
    }
    let mut changed = routes.subscribe();
    loop {
        // Looked again after subscribing: a change in between would be missed otherwise.
        let (until, code) = match look(exchange, search)? {
            Next::Use(dyno) => return Ok(dyno),
            Next::Wait(until, code) => (until, code),
        };
        if Instant::now() >= search.until {
            return Err(code.into());
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(until.min(search.until)) => {}
        }
    }
}

fn look(exchange: &Exchange, search: &Search) -> Result<Next, Failure> {
    let table = exchange.connection.router.routes.current();
    let app = table.app(&exchange.app.id).ok_or(Failure::AppGone)?;
    if app.maintenance {
        return Err(RouterCode::H80.into());
    }
    let dynos = match &app.web {
        Web::Blank => return Err(RouterCode::H81.into()),
        Web::None => return Err(RouterCode::H14.into()),
        Web::Crashed => return Err(RouterCode::H10.into()),
        Web::Starting => return Ok(Next::Wait(search.until, RouterCode::H20)),
        Web::Up(dynos) => dynos,
    };
    if let Some(dyno) = dyno::choose(dynos) {
        return Ok(Next::Use(dyno.clone()));
    }
    if search.attempts > 0 {
        return Err(search.last_failure.into());
    }
    let first_free = dynos.iter().map(|dyno| dyno.quarantined_for()).min().unwrap_or_default();
    Ok(Next::Wait(Instant::now() + first_free.max(Duration::from_millis(10)), RouterCode::H34))
}

/// What became of a request on one connection.
enum Sent {
    Answered(Response<Incoming>),
    /// The connection was closed before the dyno can have seen the request, or before a request that may be sent
    /// twice was answered.
    Stale(Request<RequestBody>),
}

async fn send(
    exchange: &mut Exchange,
    sender: &mut Sender,
    request: Request<RequestBody>,
    reused: bool,
    upload: Option<&Upload>,
) -> Result<Sent, Failure> {
    let again = (reused && request.body().is_empty() && header::is_idempotent(request.method()))
        .then(|| request.clone_head());
    let dispatched_at = std::time::Instant::now();
    exchange.dispatched_at = Some(dispatched_at);
    let limits = exchange.limits();
    let mut answer = pin!(sender.try_send_request(request));
    let mut patience = pin!(tokio::time::sleep(limits.first_byte.min(limits.idle)));
    let answered = loop {
        tokio::select! {
            biased;
            answered = answer.as_mut() => break answered,
            () = patience.as_mut() => {
                let left = match upload {
                    Some(upload) => upload.patience(limits)?,
                    None => match limits.first_byte.saturating_sub(dispatched_at.elapsed()) {
                        Duration::ZERO => return Err(RouterCode::H12.into()),
                        left => left,
                    },
                };
                patience.as_mut().reset(Instant::now() + left);
            }
        }
    };
    let mut error = match answered {
        Ok(response) => return Ok(Sent::Answered(response)),
        Err(error) => error,
    };
    if upload.is_some_and(Upload::is_broken) {
        return Err(Failure::ClientGone);
    }
    let unsent = error.take_message().filter(|_| reused);
    match unsent.or(again.filter(|_| !error.error().is_parse())) {
        Some(request) => Ok(Sent::Stale(request)),
        None => Err(failure_of(error.error())),
    }
}

/// What a connection that broke before the head of a response means.
fn failure_of(error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        Failure::Code(RouterCode::H25, Some("oversized header"))
    } else if error.is_parse() {
        RouterCode::H17.into()
    } else {
        RouterCode::H13.into()
    }
}

/// A copy of a request without a body.
trait CloneHead {
    fn clone_head(&self) -> Self;
}

impl CloneHead for Request<RequestBody> {
    fn clone_head(&self) -> Self {
        let mut copy = Request::new(RequestBody::Empty);
        *copy.method_mut() = self.method().clone();
        *copy.uri_mut() = self.uri().clone();
        *copy.headers_mut() = self.headers().clone();
        *copy.extensions_mut() = self.extensions().clone();
        copy
    }
}

/// Passes the answer on; the exchange ends with its body, or with the tunnel it becomes.
fn finish(
    mut exchange: Box<Exchange>,
    answer: Answer,
    upgrade: Option<OnUpgrade>,
) -> Result<Response<ResponseBody>, Aborted> {
    let Answer { mut response, sender, upload } = answer;
    if let Some(limit) = header::broken_response_limit(response.headers()) {
        return fail(exchange, Failure::Code(RouterCode::H25, Some(limit)));
    }
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client) = upgrade else { return fail(exchange, RouterCode::H17.into()) };
        let dyno = hyper::upgrade::on(&mut response);
        let (mut parts, _) = response.into_parts();
        header::for_client(&mut parts, Protocol::Upgrade);
        let tasks = exchange.connection.router.tasks.clone();
        tasks.spawn(join(exchange, client, dyno, sender));
        return Ok(Response::from_parts(parts, ResponseBody::empty()));
    }
    exchange.answered(status.as_u16());
    let (mut parts, body) = response.into_parts();
    header::for_client(&mut parts, Protocol::Http);
    let body = ResponseBody::Dyno(DynoBody::new(body, exchange, sender, upload));
    Ok(Response::from_parts(parts, body))
}

/// The tunnel after a 101.
async fn join(mut exchange: Box<Exchange>, client: OnUpgrade, dyno: OnUpgrade, sender: Sender) {
    let router = exchange.connection.router.clone();
    let Ok((client, dyno)) = tokio::try_join!(client, dyno) else { return };
    drop(sender);
    let down = AtomicU64::new(0);
    let tunnel = tunnel::run(TokioIo::new(client), TokioIo::new(dyno), router.config.limits.idle, &down);
    let end = tokio::select! {
        end = tunnel => Some(end),
        () = router.stop.forced() => None,
    };
    exchange.bytes = down.load(Relaxed);
    match end {
        Some(TunnelEnd::Closed) => exchange.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16()),
        Some(TunnelEnd::Idle) => exchange.failed(RouterCode::H15, None),
        None => exchange.abandoned(),
    }
}
