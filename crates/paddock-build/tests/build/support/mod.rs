//! What the tests of this crate share.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "support of tests, of which each file uses a part; a panic fails the test"
)]

pub mod build;
pub mod git;
pub mod images;
pub mod java;

use std::path::PathBuf;

/// The binary with our programs, built by cargo beside the tests.
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own program");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a test lies in target/debug/deps");
    let programs = folder.join("examples/build_programs");
    assert!(programs.exists(), "{} is missing: `cargo test` builds it", programs.display());
    programs
}
