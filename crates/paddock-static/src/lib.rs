//! Static sites: what `static.json` says, and the server that runs in the dynos of such an app.
//! Source: the documentation of Heroku's static buildpack. `paddockd static-server` is the program.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files themselves"))]

mod answer;
mod body;
mod conditions;
mod content;
mod etags;
mod glob;
mod ordered;
mod route;
mod server;
mod site;
mod types;

pub use server::static_server_main;
pub use site::{CONFIGURATION, DEFAULT_ROOT, Site, read};
