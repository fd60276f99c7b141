//! The front page of the platform's own hosts: what this is, and how to point the official client at it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderMap;
use http::header::ACCEPT;

use super::{Access, Endpoint, get};
use crate::Api;
use crate::client::Origin;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get(Access::Public, "/", hello)]
}

async fn hello(State(api): State<Arc<Api>>, origin: Origin, headers: HeaderMap) -> Response {
    let wants_html = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"));
    let text = text(&api, &origin);
    match wants_html {
        // Every part of the text is ours or was checked to hold nothing but host name characters.
        true => Html(format!("<!doctype html><title>Paddock</title><pre>\n{text}</pre>\n")).into_response(),
        false => text.into_response(),
    }
}

fn text(api: &Api, origin: &Origin) -> String {
    let domain = &api.control.config().domain;
    let from_here =
        if origin.is_known_to_cli() { on_this_machine(api, origin) } else { ELSEWHERE.to_owned() };
    format!(
        "This is Paddock, a platform of your own that speaks Heroku's API.\n\
         \n\
         Apps answer at NAME.{domain}. To use the official Heroku CLI (npm package heroku) with it,\n\
         run on the server, as the owner of its data directory:\n\
         \n\
             eval \"$(paddockd env --data DIR)\"\n\
         \n\
         {from_here}"
    )
}

/// By any other name the CLI would take `HEROKU_HOST` for a mistake and send address and password to Heroku.
fn on_this_machine(api: &Api, origin: &Origin) -> String {
    let (here, host) = (origin.url(""), api.control.config().git_host());
    format!(
        "or log in from here:\n\
         \n\
             export HEROKU_HOST={here}\n\
             export HEROKU_GIT_HOST={host}\n\
             heroku login --interactive\n"
    )
}

const ELSEWHERE: &str = "\
From another machine the server becomes the CLI's proxy: the CLI knows no other names than localhost\n\
and Heroku's own, and would talk to Heroku instead. On the server, which must run with --proxy-form:\n\
\n\
    paddockd env --data DIR --proxy --address ADDRESS --certificates FOLDER\n\
\n\
ADDRESS is the server's as seen from here, FOLDER where you copy DIR/ca/proxy-form/*.pem to here. Evaluate what\n\
it prints in a shell of its own here.\n";
