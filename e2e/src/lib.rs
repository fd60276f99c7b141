//! Journeys through the real thing: a real `paddockd`, plain git, curl, and the official Heroku CLI, unmodified.
//!
//! A journey is a conversation and a look through a second door: what a command says is compared with its recorded
//! transcript, and the state afterwards is asked of the API or of the app itself.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, reason = "a harness ends the test where it stands")]

mod cli;
mod container;
mod database;
pub mod driver;
mod fail_points;
mod http;
mod image_clients;
mod killed_runs;
mod layout;
mod leftovers;
mod machine;
mod outcome;
mod psql;
mod quickstart;
mod redaction;
mod repo;
mod server;
mod socket;
mod store;
mod tools;
mod transcript;
mod wait;

pub use cli::{Cli, Following};
pub use container::{Docker, Image, Root};
pub use database::tests_on_sqlite;
pub use fail_points::{FailPoints, ServerClock, durable_steps};
pub use http::{Answer, Http};
pub use image_clients::{ImageClients, OtherRegistry};
pub use killed_runs::end_killed_runs;
pub use layout::{
    Layout, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, config_of, descriptor, digest_of, manifest_of,
    tar_of,
};
pub use leftovers::{Leftovers, files_with, instance_letters, links};
pub use machine::Machine;
pub use outcome::{Outcome, answer, run};
pub use paddock_testkit::port::Port;
pub use psql::{DatabaseSession, ask_database};
pub use quickstart::Quickstart;
pub use redaction::redact;
pub use repo::Repo;
pub use server::Server;
pub use store::{BUCKET, Store};
pub use tools::paddockd;
pub use transcript::Transcript;
pub use wait::{pause, wait_until};

/// A number that the environment may raise: journeys run three rounds by default, `cargo xtask soak` more.
#[must_use]
pub fn rounds(variable: &str, default: usize) -> usize {
    let given = std::env::var(variable).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Ends the test early when it may not make containers here, and has it counted as not run.
///
/// # Panics
/// Without root, unless `PADDOCK_TESTS_UNPRIVILEGED=1` says that this is known.
#[must_use]
pub fn may_run(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let known = std::env::var_os("PADDOCK_TESTS_UNPRIVILEGED").is_some_and(|value| value == "1");
    assert!(
        known,
        "{test} makes containers and networks: run it as root, or set PADDOCK_TESTS_UNPRIVILEGED=1"
    );
    not_run(&format!("{test}: needs root"));
    false
}

/// Has something counted in the last line of `bin/test`.
pub fn not_run(what: &str) {
    use std::io::Write;
    if let Some(path) = std::env::var_os("PADDOCK_TESTS_NOT_RUN") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{what}"));
    }
}
