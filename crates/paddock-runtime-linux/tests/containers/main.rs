//! Real containers, each test's in an instance of its own.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test and its parts")]

mod build_layers;
mod build_root;
mod contract;
mod disk;
mod files;
mod host;
mod image_root;
mod image_user;
mod inside;
mod lifecycle;
mod network;
mod services;
mod stop;
#[path = "../support/mod.rs"]
mod support;
