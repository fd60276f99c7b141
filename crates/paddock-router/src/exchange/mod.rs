//! One app request from its arrival to its record. Inner steps fill it in; the record is made when it is dropped,
//! so that each request leaves exactly one, however it ends.

pub(crate) mod client;
pub(crate) mod header;
pub(crate) mod page;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use paddock_core::code::RouterCode;
use paddock_http1::{Defect, Request};

use crate::connection::Connection;
use crate::connection::forwarded::Forwarded;
use crate::dyno::Dyno;
use crate::limits::Limits;
use crate::record::line::Line;
use crate::relay::{Broken, SendFailed};
use crate::routes::table::App;

/// What is known of a request so far.
pub(crate) struct Exchange {
    pub(crate) connection: Arc<Connection>,
    pub(crate) app: Arc<App>,
    method: Bytes,
    path: Bytes,
    pub(crate) host: Bytes,
    pub(crate) request_id: Bytes,
    pub(crate) forwarded: Forwarded,
    pub(crate) dyno: Option<Arc<Dyno>>,
    /// How long the connection to the dyno took to be made, or to fail.
    pub(crate) connect: Option<Duration>,
    /// When the request was handed to the dyno.
    pub(crate) dispatched_at: Option<Instant>,
    pub(crate) bytes: AtomicU64,
    outcome: Option<Outcome>,
    is_in_flight: bool,
}

#[derive(Debug)]
enum Outcome {
    /// The dyno's answer went through.
    Answered { status: u16 },
    /// The router answered, or broke off.
    Failed { code: RouterCode, detail: Option<&'static str> },
    /// The request is malformed, or of a kind that is not accepted.
    Refused { status: u16, cause: &'static str, detail: Option<String> },
}

impl Exchange {
    /// Counts the request as in flight until it is dropped; the second value is how many there are now.
    pub(crate) fn begin(
        connection: Arc<Connection>,
        app: Arc<App>,
        host: Bytes,
        request: &Request,
    ) -> (Box<Self>, usize) {
        let in_flight = app.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let exchange = Self {
            method: request.method.clone(),
            path: request.target.clone(),
            host,
            request_id: header::request_id(&request.fields),
            forwarded: connection.forwarded(&request.fields),
            dyno: None,
            connect: None,
            dispatched_at: None,
            bytes: AtomicU64::new(0),
            outcome: None,
            is_in_flight: true,
            connection,
            app,
        };
        (Box::new(exchange), in_flight)
    }

    /// It is answered, though it goes on: a tunnel waits for nothing of the dyno's.
    pub(crate) fn landed(&mut self) {
        if std::mem::take(&mut self.is_in_flight) {
            self.app.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.connection.router.config.limits
    }

    /// The dyno's answer with this status went through.
    pub(crate) fn answered(&mut self, status: u16) {
        self.outcome = Some(Outcome::Answered { status });
    }

    pub(crate) fn failed(&mut self, code: RouterCode, detail: Option<&'static str>) {
        self.outcome = Some(Outcome::Failed { code, detail });
    }

    /// The client is told what is wrong with its request.
    pub(crate) fn refused(&mut self, defect: Defect) {
        let (status, cause, detail) = (defect.status(), defect.cause(), Some(defect.sentence()));
        self.outcome = Some(Outcome::Refused { status, cause, detail });
    }

    /// The answer broke off.
    pub(crate) fn broke_off(&mut self, broken: Broken) {
        match broken {
            Broken::Client(SendFailed::ClientGone) => {}
            Broken::Client(SendFailed::Malformed) => self.refused(Defect::Chunk),
            Broken::Client(SendFailed::ServerGone) | Broken::Closed => self.failed(RouterCode::H18, None),
            Broken::Malformed => self.failed(RouterCode::H17, None),
            Broken::Silent => self.failed(RouterCode::H15, None),
        }
    }

    /// The request expects what no router does.
    pub(crate) fn expected_too_much(&mut self) {
        let cause = "unsupported expect header value";
        self.outcome = Some(Outcome::Refused { status: 417, cause, detail: None });
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
        let (code, detail, cause, status) = match &self.outcome {
            Some(Outcome::Answered { status }) => (None, None, None, Some(*status)),
            Some(Outcome::Failed { code, detail }) => (Some(*code), *detail, None, code.status()),
            Some(Outcome::Refused { status, cause, detail }) => {
                let detail = detail.as_deref().map(|sentence| sentence.trim_end_matches('.'));
                (Some(RouterCode::H26), detail, Some(*cause), Some(*status))
            }
            None => (Some(self.broken_off()), None, None, self.broken_off().status()),
        };
        Line {
            code,
            detail,
            cause,
            method: &self.method,
            path: &self.path,
            host: &self.host,
            request_id: &self.request_id,
            fwd: &self.forwarded.list,
            dyno: self.dyno.as_ref().map(|dyno| dyno.name.as_str()),
            connect: self.connect,
            service: self.dispatched_at.map(|at| at.elapsed()),
            status,
            bytes: self.dispatched_at.map(|_| self.bytes.load(Ordering::Relaxed)),
            tls_version: self.connection.tls_version,
        }
        .text()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.landed();
        self.connection.router.records.push(self.app.key, self.line());
    }
}
