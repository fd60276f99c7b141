//! The search for a dyno for one request: which one, and when none can be had.

use std::sync::Arc;
use std::time::Duration;

use paddock_core::code::RouterCode;
use tokio::time::Instant;

use crate::app::failure::Failure;
use crate::dyno::choice::choose;
use crate::dyno::{ConnectFailed, Dyno, DynoStream};
use crate::exchange::Exchange;
use crate::limits::Limits;
use crate::routes::table::Web;

/// The search for a dyno for one request.
pub(crate) struct Search {
    /// Until when it may wait for a dyno.
    until: Instant,
    /// Dynos that did not take the connection.
    attempts: usize,
    last_failure: RouterCode,
    /// A connection that was used before turned out to be closed: use none of that kind.
    pub(crate) only_new: bool,
}

impl Search {
    pub(crate) fn new(limits: &Limits) -> Self {
        let until = Instant::now() + limits.dyno_wait;
        Self { until, attempts: 0, last_failure: RouterCode::H21, only_new: false }
    }

    /// A connection to a dyno, and whether it was used before.
    pub(crate) async fn connect(&mut self, exchange: &mut Exchange) -> Result<(DynoStream, bool), Failure> {
        loop {
            let dyno = self.choose(exchange).await?;
            exchange.dyno = Some(dyno.clone());
            let router = exchange.connection.router.clone();
            let limits = &router.config.limits;
            if !self.only_new
                && let Some(stream) = dyno.reuse(limits)
            {
                exchange.connect = Some(Duration::ZERO);
                return Ok((stream, true));
            }
            let began = Instant::now();
            let connected = dyno.connect(limits).await;
            exchange.connect = Some(began.elapsed());
            match connected {
                Ok(stream) => return Ok((stream, false)),
                Err(failed) => {
                    dyno.quarantine(limits);
                    self.attempts += 1;
                    self.last_failure = match failed {
                        ConnectFailed::TimedOut => RouterCode::H19,
                        ConnectFailed::Refused => RouterCode::H21,
                    };
                    if self.attempts >= limits.connect_attempts {
                        return Err(self.last_failure.into());
                    }
                }
            }
        }
    }

    /// A dyno that may get the request; waits for one where the contract says so.
    async fn choose(&self, exchange: &Exchange) -> Result<Arc<Dyno>, Failure> {
        let routes = &exchange.connection.router.routes;
        if let Next::Use(dyno) = self.look(exchange)? {
            return Ok(dyno);
        }
        let mut changed = routes.subscribe();
        loop {
            // Looked again after subscribing: a change in between would be missed otherwise.
            let (until, code) = match self.look(exchange)? {
                Next::Use(dyno) => return Ok(dyno),
                Next::Wait(until, code) => (until, code),
            };
            if Instant::now() >= self.until {
                return Err(code.into());
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(until.min(self.until)) => {}
            }
        }
    }

    fn look(&self, exchange: &Exchange) -> Result<Next, Failure> {
        let table = exchange.connection.router.routes.current();
        let app = table.app(&exchange.app.id).ok_or(Failure::AppGone)?;
        if app.maintenance {
            return Err(RouterCode::H80.into());
        }
        let dynos = match &app.web {
            Web::Blank => return Err(RouterCode::H81.into()),
            Web::None => return Err(RouterCode::H14.into()),
            Web::Crashed => return Err(RouterCode::H10.into()),
            Web::Starting => return Ok(Next::Wait(self.until, RouterCode::H20)),
            Web::Up(dynos) => dynos,
        };
        if let Some(dyno) = choose(dynos) {
            return Ok(Next::Use(dyno.clone()));
        }
        if self.attempts > 0 {
            return Err(self.last_failure.into());
        }
        let first_free = dynos.iter().map(|dyno| dyno.quarantined_for()).min().unwrap_or_default();
        Ok(Next::Wait(Instant::now() + first_free.max(Duration::from_millis(10)), RouterCode::H34))
    }
}

/// What to do with a request, by the newest table.
enum Next {
    Use(Arc<Dyno>),
    /// Look again when the table changes, or at this moment; at the end of the search it is this code.
    Wait(Instant, RouterCode),
}
