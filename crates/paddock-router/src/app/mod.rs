//! Requests of apps: may it be answered, by which dyno, within which limits.
//!
//! Source: `docs/contract/platform-behaviour.md`, sections 1 and 2. Order of precedence: maintenance, blank, no web
//! processes, crashed, starting, then what a connection meets.

pub(crate) mod failure;
pub(crate) mod search;
pub(crate) mod send;

use std::sync::Arc;

use bytes::BytesMut;
use paddock_core::code::RouterCode;

use crate::app::failure::Failure;
use crate::app::search::Search;
use crate::app::send::{Call, Ended, Passed, Tunnel};
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::exchange::client::{Asked, Became, Client, Next};
use crate::exchange::header;
use crate::exchange::page;
use crate::routes::table::App;

/// Answers a request of an app, and leaves its record.
pub(crate) async fn answer(
    client: &mut Client,
    connection: &Arc<Connection>,
    app: Arc<App>,
    mut asked: Asked,
) -> Became<Tunnel> {
    let (mut exchange, in_flight) =
        Exchange::begin(connection.clone(), app, asked.host.clone(), &asked.request);
    let passed_on = match admit(&exchange, in_flight, &asked) {
        Ok(()) => pass_on(&mut exchange, client, &mut asked).await,
        Err(failure) => Err(failure),
    };
    match passed_on {
        Ok(Passed::Answered(next)) => Became::Answered(next),
        Ok(Passed::Switched(dyno)) => {
            exchange.landed();
            Became::Tunnel(Tunnel { exchange, dyno: *dyno })
        }
        Err(failure) => Became::Answered(fail(exchange, client, &mut asked, failure).await),
    }
}

async fn fail(mut exchange: Box<Exchange>, client: &mut Client, asked: &mut Asked, failure: Failure) -> Next {
    let page = match failure {
        Failure::ClientGone => return Next::Broken,
        Failure::AppGone => {
            exchange.answered(404);
            page::no_such_app(&String::from_utf8_lossy(&exchange.host).to_ascii_lowercase())
        }
        Failure::ExpectsTooMuch => {
            exchange.expected_too_much();
            page::for_code(&exchange.app, RouterCode::H26)
        }
        Failure::Refused(defect) => {
            exchange.refused(defect);
            return client
                .refuse(page::refusal(defect.status(), &defect.sentence()), asked.manner.is_head)
                .await;
        }
        Failure::Code(code, detail) => {
            exchange.failed(code, detail);
            if code == RouterCode::H28 {
                // It says nothing itself: closing is the answer.
                return Next::Broken;
            }
            page::for_code(&exchange.app, code)
        }
    };
    client.say(page, asked, &exchange.connection).await
}

/// Refuses what is refused whatever state the dynos are in, but for [`Search`], which looks at the newest table.
fn admit(exchange: &Exchange, in_flight: usize, asked: &Asked) -> Result<(), Failure> {
    if exchange.connection.place.is_surplus {
        return Err(RouterCode::H22.into());
    }
    let dynos = exchange.app.dynos().len().max(1);
    if in_flight > dynos * exchange.limits().in_flight_per_dyno {
        return Err(RouterCode::H11.into());
    }
    if asked.expects_more { Err(Failure::ExpectsTooMuch) } else { Ok(()) }
}

/// Sends the request to a dyno, on a new connection a second time where that is safe, and passes its answer on.
async fn pass_on(exchange: &mut Exchange, client: &mut Client, asked: &mut Asked) -> Result<Passed, Failure> {
    let protocol = header::protocol(&asked.request);
    header::for_dyno(&mut asked.request, &asked.body, protocol, &exchange.request_id, &exchange.forwarded);
    let mut search = Search::new(exchange.limits());
    let mut call = Call { out: BytesMut::new(), exchange, client, asked, protocol };
    call.asked.request.write(&mut call.out);
    loop {
        let (dyno, reused) = search.connect(call.exchange).await?;
        if std::mem::take(&mut call.asked.expects_continue) && !call.asked.body.is_complete() {
            // The router answers it itself.
            call.client.say_continue().await.map_err(|_| Failure::ClientGone)?;
        }
        match call.converse(dyno, reused).await {
            Ok(passed) => return Ok(passed),
            Err(Ended::Stale) => search.only_new = true,
            Err(Ended::Failed(failure)) => return Err(failure),
        }
    }
}
