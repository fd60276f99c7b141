//! `check-sql`: whether both engines take every statement, and both have the same tables.
//!
//! The statements are constants of the store, so the check is its unit tests; here they have a name of their own.

use std::path::Path;
use std::process::Command;

/// Runs the check; whether all is well.
pub(crate) fn run(root: &Path) -> Result<bool, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tests = ["test", "--quiet", "--locked", "--package", "paddock-store", "--lib", "--", "tests::"];
    let status = Command::new(cargo)
        .args(tests)
        .current_dir(root)
        .status()
        .map_err(|error| format!("could not run cargo {}: {error}", tests.join(" ")))?;
    if status.success() {
        println!("check-sql: SQLite and PostgreSQL take every statement and have the same tables");
    }
    Ok(status.success())
}
