//! The router through its sockets: real clients, toy dynos, a toy `serve`.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
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
