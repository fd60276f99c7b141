//! One app request from its arrival to its record. Inner steps fill it in; the record is made when it is dropped,
//! so that each request leaves exactly one, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Uri};
use paddock_core::code::RouterCode;

use crate::accept::Connection;
use crate::config::Limits;
use crate::dyno::{Dyno, clock};
use crate::line::Line;
use crate::table::App;

/// What is known of a request so far.
pub(crate) struct Exchange {
    pub(crate) connection: Arc<Connection>,
    pub(crate) app: Arc<App>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) host: HeaderValue,
    pub(crate) request_id: HeaderValue,
    pub(crate) forwarded_for: HeaderValue,
    pub(crate) dyno: Option<Arc<Dyno>>,
    /// How long the connection to the dyno took to be made, or to fail.
    pub(crate) connect: Option<Duration>,
    /// When the request was handed to the dyno.
    pub(crate) dispatched_at: Option<Instant>,
    /// Bytes of the response body.
    pub(crate) bytes: u64,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// The dyno's answer went through.
    Answered { status: u16 },
    /// The router answered, or broke off.
    Failed { code: RouterCode, detail: Option<&'static str> },
}

impl Exchange {
    /// Counts the request as in flight until it is dropped; the second value is how many there are now.
    pub(crate) fn begin(
        connection: Arc<Connection>,
        app: Arc<App>,
        host: HeaderValue,
        request: &http::request::Parts,
    ) -> (Box<Self>, usize) {
        let in_flight = app.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let exchange = Self {
            method: request.method.clone(),
            uri: request.uri.clone(),
            host,
            request_id: crate::header::request_id(&request.headers),
            forwarded_for: crate::header::forwarded_for(&request.headers, connection.peer),
            dyno: None,
            connect: None,
            dispatched_at: None,
            bytes: 0,
            outcome: None,
            connection,
            app,
        };
        (Box::new(exchange), in_flight)
    }

    /// The router's limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.connection.router.config.limits
    }

    /// The dyno has answered with this status; a later failure takes its place.
    pub(crate) fn answered(&mut self, status: u16) {
        self.outcome = Some(Outcome::Answered { status });
    }

    /// The request failed.
    pub(crate) fn failed(&mut self, code: RouterCode, detail: Option<&'static str>) {
        self.outcome = Some(Outcome::Failed { code, detail });
    }

    /// It ended before the answer did, and nobody said why.
    pub(crate) fn abandoned(&mut self) {
        self.outcome = None;
    }

    /// Nobody said how it ended: the client went away, or the router does.
    fn broken_off(&self) -> RouterCode {
        if self.connection.router.stop.is_forced() {
            RouterCode::H24
        } else if self.connection.stalled.load(Ordering::Relaxed) {
            RouterCode::H28
        } else {
            RouterCode::H27
        }
    }

    fn line(&self) -> String {
        let (code, detail, status) = match self.outcome {
            Some(Outcome::Answered { status }) => (None, None, Some(status)),
            Some(Outcome::Failed { code, detail }) => (Some(code), detail, code.status()),
            None => (Some(self.broken_off()), None, self.broken_off().status()),
        };
        let is_cause = code == Some(RouterCode::H26);
        Line {
            code,
            detail: detail.filter(|_| !is_cause),
            cause: detail.filter(|_| is_cause),
            method: self.method.as_str(),
            path: self.uri.path_and_query().map_or("/", |path| path.as_str()),
            host: self.host.as_bytes(),
            request_id: self.request_id.as_bytes(),
            fwd: self.forwarded_for.as_bytes(),
            dyno: self.dyno.as_ref().map(|dyno| dyno.name.as_str()),
            connect: self.connect,
            service: self.dispatched_at.map(|at| at.elapsed()),
            status,
            bytes: self.dispatched_at.map(|_| self.bytes),
            tls_version: self.connection.tls_version,
        }
        .text()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.app.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.connection.router.records.push(self.app.key, self.line());
    }
}

/// When bytes of a request's body last came, shared by the connection to the dyno and the request.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    last: AtomicU64,
    complete: AtomicBool,
    broken: AtomicBool,
}

impl Upload {
    pub(crate) fn new() -> Arc<Self> {
        let upload = Self::default();
        upload.touch();
        Arc::new(upload)
    }

    /// Bytes came.
    pub(crate) fn touch(&self) {
        self.last.store(clock(), Ordering::Relaxed);
    }

    /// The last byte came.
    pub(crate) fn finish(&self) {
        if !self.complete.swap(true, Ordering::Relaxed) {
            self.touch();
        }
    }

    /// The client broke off.
    pub(crate) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// How long ago bytes last came.
    pub(crate) fn silent_for(&self) -> Duration {
        Duration::from_millis(clock().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    /// How much longer to wait for the head of the response, or which limit has passed.
    pub(crate) fn patience(&self, limits: &Limits) -> Result<Duration, RouterCode> {
        let (limit, code) = match self.complete.load(Ordering::Relaxed) {
            true => (limits.first_byte, RouterCode::H12),
            false => (limits.idle, RouterCode::H28),
        };
        let left = limit.saturating_sub(self.silent_for());
        // Never longer than until the earliest H12: the last byte may come in the meantime.
        if left.is_zero() { Err(code) } else { Ok(left.min(limits.first_byte)) }
    }
}
