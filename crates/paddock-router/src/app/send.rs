//! A request of an app and its answer on one connection to a dyno.

use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use paddock_core::code::RouterCode;
use paddock_http1::{BadResponse, Body, Defect, Response};

use crate::app::failure::Failure;
use crate::dyno::DynoStream;
use crate::exchange::Exchange;
use crate::exchange::client::{self, Asked, Client, Manner, Next};
use crate::exchange::header::{self, Protocol};
use crate::limits::Limits;
use crate::relay::tunnel::{self, TunnelEnd};
use crate::relay::{self, Broken, Moved, NoHead, Passing, SendFailed, Talk};

/// What became of a request that a dyno answered.
pub(crate) enum Passed {
    Answered(Next),
    /// The dyno agreed to another protocol, and the client knows.
    Switched(Box<DynoStream>),
}

/// How a request ended on one connection.
pub(crate) enum Ended {
    /// The connection was closed before the dyno can have seen the request, or before a request that may be sent
    /// twice was answered.
    Stale,
    Failed(Failure),
}

impl<F: Into<Failure>> From<F> for Ended {
    fn from(failure: F) -> Self {
        Self::Failed(failure.into())
    }
}

/// One request, on the connections to dynos that are tried for it.
pub(crate) struct Call<'a> {
    /// What is to be sent.
    pub(crate) out: BytesMut,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) client: &'a mut Client,
    pub(crate) asked: &'a mut Asked,
    pub(crate) protocol: Protocol,
}

impl Call<'_> {
    pub(crate) async fn converse(&mut self, dyno: DynoStream, reused: bool) -> Result<Passed, Ended> {
        self.exchange.dispatched_at = Some(std::time::Instant::now());
        let may_be_sent_twice =
            reused && self.asked.body.is_complete() && header::is_idempotent(&self.asked.request.method);
        let again = may_be_sent_twice.then(|| self.out.clone());
        let moved = Moved::new();
        let ended = self.talk(dyno, &moved).await;
        let Err(NoHead::Closed { begun: false }) = ended else {
            return ended.map_err(failure_of)?.map_err(Ended::Failed);
        };
        match again {
            Some(again) => self.out = again,
            None if reused && !moved.has_begun() => {}
            None => return Err(RouterCode::H13.into()),
        }
        Err(Ended::Stale)
    }

    /// The request and its answer, on one connection. The inner failure comes after the head of a response, and before
    /// anything was said to the client.
    async fn talk(
        &mut self,
        mut dyno: DynoStream,
        moved: &Moved,
    ) -> Result<Result<Passed, Failure>, NoHead<RouterCode>> {
        let router = self.exchange.connection.router.clone();
        let limits = &router.config.limits;
        let Client { reader, writer, .. } = &mut *self.client;
        let answered = {
            let sending =
                pin!(relay::send(&mut self.out, &mut self.asked.body, reader, &mut dyno.writer, moved));
            let mut talk = Talk::new(sending, &mut dyno.reader, moved);
            let response = talk.head(|| patience(limits, moved)).await?;
            let manner = self.asked.manner;
            match answer_of(response, manner, self.protocol, self.exchange) {
                Err(failure) => return Ok(Err(failure)),
                Ok(Answer::Switch(response)) => Answered::Switching(response),
                Ok(Answer::Pass { mut passing, closes, keeps_dyno, status }) => {
                    let mut passed = talk.pass(&mut passing, writer).await;
                    if passed.is_ok() {
                        passed = talk.finish(&mut passing.out, writer, limits.idle).await;
                    }
                    match passed {
                        Ok(()) => Answered::Passed { out: passing.out, closes, keeps_dyno, status },
                        Err(Broken::Malformed) if !passing.has_begun => {
                            return Ok(Err(RouterCode::H17.into()));
                        }
                        Err(broken) => Answered::Broken(broken),
                    }
                }
            }
        };
        Ok(self.end(dyno, moved, answered).await)
    }

    async fn end(&mut self, dyno: DynoStream, moved: &Moved, answered: Answered) -> Result<Passed, Failure> {
        let (mut out, closes, keeps_dyno, status) = match answered {
            Answered::Switching(mut response) => {
                header::via(&mut response.fields);
                self.client.switch(response).await.map_err(|_| Failure::ClientGone)?;
                return Ok(Passed::Switched(Box::new(dyno)));
            }
            Answered::Broken(broken) => {
                self.exchange.broke_off(broken);
                return Ok(Passed::Answered(Next::Broken));
            }
            Answered::Passed { out, closes, keeps_dyno, status } => (out, closes, keeps_dyno, status),
        };
        let is_whole = moved.is_complete();
        if let Some(chosen) = self.exchange.dyno.as_ref().filter(|_| keeps_dyno && is_whole) {
            chosen.keep(dyno);
        }
        self.client.send(&mut out).await.map_err(|_| Failure::ClientGone)?;
        self.exchange.answered(status);
        let is_unread = !self.asked.body.is_complete();
        Ok(Passed::Answered(if closes || is_unread { Next::Close { is_unread } } else { Next::Again }))
    }
}

/// What is to be done with the head of a response.
enum Answer<'a> {
    Switch(Response),
    Pass {
        passing: Passing<'a>,
        /// The connection to the client ends with it.
        closes: bool,
        /// The connection to the dyno can be used again.
        keeps_dyno: bool,
        status: u16,
    },
}

/// What became of a response.
enum Answered {
    Switching(Response),
    /// Nothing more comes from the dyno; what is left waits for the client.
    Passed {
        out: BytesMut,
        closes: bool,
        keeps_dyno: bool,
        status: u16,
    },
    Broken(Broken),
}

fn answer_of(
    mut response: Response,
    manner: Manner,
    protocol: Protocol,
    exchange: &Exchange,
) -> Result<Answer<'_>, Failure> {
    if response.status == 101 {
        return match protocol {
            Protocol::Upgrade => Ok(Answer::Switch(response)),
            Protocol::Http => Err(RouterCode::H17.into()),
        };
    }
    let body = response.body(manner.is_head).map_err(bad_response)?;
    let (status, keeps_dyno) = (response.status, response.keeps_alive() && !matches!(body, Body::Close));
    header::via(&mut response.fields);
    let (connection, idle) = (&exchange.connection, exchange.limits().idle);
    let (passing, closes) = client::pass_on(response, body, manner, connection, &exchange.bytes, idle);
    Ok(Answer::Pass { passing, closes, keeps_dyno, status })
}

/// How much longer to wait for the head of the response, or which limit has passed.
fn patience(limits: &Limits, moved: &Moved) -> Result<Duration, RouterCode> {
    let (limit, code) = match moved.is_complete() {
        true => (limits.first_byte, RouterCode::H12),
        false if moved.is_blocked() => (limits.idle, RouterCode::H15),
        false => (limits.idle, RouterCode::H28),
    };
    let left = limit.saturating_sub(moved.silent_for());
    // Never longer than until the earliest H12: the last byte may come in the meantime.
    if left.is_zero() { Err(code) } else { Ok(left.min(limits.first_byte)) }
}

/// What a connection that gave no head of a response means.
fn failure_of(no_head: NoHead<RouterCode>) -> Failure {
    match no_head {
        NoHead::Bad(bad) => bad_response(bad),
        NoHead::Closed { .. } | NoHead::Client(SendFailed::ServerGone) => RouterCode::H13.into(),
        NoHead::Client(SendFailed::ClientGone) => Failure::ClientGone,
        NoHead::Client(SendFailed::Malformed) => Failure::Refused(Defect::Chunk),
        NoHead::TooLate(code) => code.into(),
    }
}

fn bad_response(bad: BadResponse) -> Failure {
    match bad {
        BadResponse::Malformed => RouterCode::H17.into(),
        BadResponse::Restricted(limit) => Failure::Code(RouterCode::H25, Some(limit)),
    }
}

/// A tunnel between a client and a dyno.
pub(crate) struct Tunnel {
    pub(crate) exchange: Box<Exchange>,
    pub(crate) dyno: DynoStream,
}

impl Tunnel {
    /// Passes bytes both ways until it ends.
    pub(crate) async fn run(self, mut client: Client) {
        let Self { mut exchange, mut dyno } = self;
        let client = (&mut client.reader, &mut client.writer);
        let dyno = (&mut dyno.reader, &mut dyno.writer);
        match tunnel::run(client, dyno, exchange.limits().idle, &exchange.bytes).await {
            TunnelEnd::Closed => exchange.answered(101),
            TunnelEnd::Idle => exchange.failed(RouterCode::H15, None),
        }
    }
}
