//! The router through its sockets: real clients, toy dynos, a toy `serve`.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod control;
mod dns;
mod failures;
mod hostile;
mod messages;
mod platform;
mod proxy_form;
mod requests;
mod support;
