//! Tests that set owners or mount need root.

use std::io::Write;

/// Ends the test early without root where that is known to be so, and has it counted in the last line of `bin/test`.
///
/// # Panics
/// Without root, unless `PADDOCK_TESTS_UNPRIVILEGED=1`.
#[must_use]
pub(crate) fn may_run(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let known = std::env::var_os("PADDOCK_TESTS_UNPRIVILEGED").is_some_and(|value| value == "1");
    assert!(known, "{test}: run it as root, or set PADDOCK_TESTS_UNPRIVILEGED=1");
    if let Some(path) = std::env::var_os("PADDOCK_TESTS_NOT_RUN") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{test}: needs root"));
    }
    false
}
