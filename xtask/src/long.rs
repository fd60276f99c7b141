//! Tasks that run the real program for longer than the tests do: `soak` and `bench`.

use std::path::Path;
use std::process::Command;

use crate::cargo::target_directory;

/// Runs the crash journeys with bigger numbers; whether they pass.
pub(crate) fn soak(root: &Path, name: Option<&str>) -> Result<bool, String> {
    build(root)?;
    build_fail_points(root)?;
    let filter = name.map(|name| if name == "crash-points" { "every_verb_survives" } else { name });
    let mut command = cargo(root);
    command.args(["test", "--package", "e2e", "--test", "crash", "--test", "crash_points", "--"]);
    command.args(filter).args(["--test-threads=1", "--nocapture"]);
    command.env("PADDOCK_SOAK_POINTS", given("PADDOCK_SOAK_POINTS", "1"));
    command.env("PADDOCK_SOAK_KILLS", given("PADDOCK_SOAK_KILLS", "30"));
    command.env("PADDOCK_SOAK_LINES", given("PADDOCK_SOAK_LINES", "1000000"));
    status(command)
}

/// Measures `git push` to the first 200 beside the same steps by hand.
pub(crate) fn bench_deploy(root: &Path) -> Result<bool, String> {
    build(root)?;
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--package", "e2e", "--example", "bench_deploy"]);
    status(command)
}

/// Measures what the platform costs with one app and with thousands, of the program as it is released; `PADDOCKD` names
/// another.
pub(crate) fn bench_scale(root: &Path) -> Result<bool, String> {
    bench_released(root, "bench_scale")
}

/// Measures databases beside the bare tools, likewise.
pub(crate) fn bench_data(root: &Path) -> Result<bool, String> {
    bench_released(root, "bench_data")
}

/// What images cost, by a release build.
pub(crate) fn bench_images(root: &Path) -> Result<bool, String> {
    bench_released(root, "bench_images")
}

/// What builds cost, likewise.
pub(crate) fn bench_build(root: &Path) -> Result<bool, String> {
    bench_released(root, "bench_build")
}

fn bench_released(root: &Path, example: &str) -> Result<bool, String> {
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--package", "e2e", "--example", example]);
    if std::env::var_os("PADDOCKD").is_none() {
        let mut release = cargo(root);
        release.args(["build", "--release", "--package", "paddockd"]);
        if !status(release)? {
            return Err("paddockd does not build".to_owned());
        }
        command.env("PADDOCKD", target_directory(root)?.join("release/paddockd"));
    }
    status(command)
}

/// Builds the program that is going to run.
fn build(root: &Path) -> Result<(), String> {
    let mut command = cargo(root);
    command.args(["build", "--package", "paddockd"]);
    if status(command)? { Ok(()) } else { Err("paddockd does not build".to_owned()) }
}

/// Builds the program that can be ended at a durable step.
fn build_fail_points(root: &Path) -> Result<(), String> {
    let mut command = cargo(root);
    command.args(["build", "--package", "paddockd", "--features", "fail-points"]);
    command.args(["--bin", "paddockd-fail-points"]);
    if status(command)? { Ok(()) } else { Err("paddockd-fail-points does not build".to_owned()) }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn given(variable: &str, default: &str) -> std::ffi::OsString {
    std::env::var_os(variable).unwrap_or_else(|| default.into())
}

fn status(mut command: Command) -> Result<bool, String> {
    command.status().map(|status| status.success()).map_err(|error| format!("could not run cargo: {error}"))
}
