//! `paddockd`: the server binary. Configuration, roles, wiring, drain; everything else lives in the other crates.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod admin;
mod backups;
mod certificate_end;
mod certificates;
mod commands;
mod data_dir;
mod database;
mod egress;
#[cfg(feature = "fail-points")]
mod fail_points;
mod id_range;
mod instance;
mod kept_file;
mod log_format;
mod notify;
mod paths;
mod proxy_form;
#[cfg(test)]
mod reference;
mod resolvers;
mod router_process;
mod settings;
mod site;
mod start_error;
mod wiring;

/// Paddock: a Heroku that people own.
#[derive(Debug, Parser)]
#[command(name = "paddockd", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server: API, git, builds, dynos, router, logs
    Serve(Box<commands::serve::ServeArgs>),
    /// Print the variables that point the official CLI and git at a running server
    ///
    /// Without --proxy the CLI reaches the server at localhost and does all but container:*, favorites and what else has
    /// Heroku's host names built in. With --proxy the server is the CLI's proxy and answers for those names itself; this
    /// works from other machines too. Use a shell of its own then: the proxy serves nobody but the Heroku CLI and git.
    Env(commands::env::EnvArgs),
    /// Make accounts, list, disable and delete them, reset their passwords
    Account(commands::account::AccountArgs),
    // These say in their own files what they do, at length.
    Apps(commands::apps::AppsArgs),
    Storage(commands::storage::StorageArgs),
    Stack(commands::stack::StackArgs),
    Buildpacks(commands::buildpacks::BuildpacksArgs),
    /// Stop a running server; its dynos go on unless told otherwise
    Stop(commands::stop::StopArgs),
    /// Move the state of a stopped server from SQLite to PostgreSQL
    Database(commands::database::DatabaseCommand),
    Doctor(commands::doctor::DoctorArgs),
    Metrics(commands::metrics::MetricsArgs),
    Keys(commands::keys::KeysArgs),
    Backup(commands::backup::BackupArgs),
    Restore(commands::restore::RestoreArgs),
}

/// The program, whatever role its first argument gives it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the server binary is where the environment is read")]
pub fn main() -> ExitCode {
    // The roles that the server itself starts come first: a shim forks, so it must run before any thread exists.
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    if Path::new(&program).file_name().is_some_and(|name| name == "proc-receive") {
        return paddock_build::git::git_hook_main(|name| std::env::var_os(name));
    }
    let first = arguments.next().unwrap_or_default();
    match first.to_str() {
        Some("shim") => {
            return paddock_runtime_linux::shim_main(Path::new(&arguments.next().unwrap_or_default()));
        }
        Some("confine") => return paddock_runtime_linux::host_process::confine_main(arguments),
        Some("build-runner") => return paddock_build::runner::build_runner_main(std::env::vars()),
        Some("image-step") => return paddock_build::image_step::image_step_main(std::env::vars()),
        Some("convert") => return paddock_images::convert::convert_main(arguments),
        Some("router") => return paddock_router::main(),
        Some("static-server") => {
            return paddock_static::static_server_main(arguments, std::env::vars_os());
        }
        _ => {}
    }
    let command = Cli::parse().command;
    #[cfg(feature = "fail-points")]
    fail_points::arm();
    match command {
        Command::Serve(args) => commands::serve::run(*args),
        Command::Env(args) => args.run(),
        Command::Account(args) => args.run(),
        Command::Apps(args) => args.run(),
        Command::Storage(args) => args.run(),
        Command::Stack(args) => args.run(),
        Command::Buildpacks(args) => args.run(),
        Command::Stop(args) => args.run(),
        Command::Database(args) => args.run(),
        Command::Doctor(args) => args.run(),
        Command::Metrics(args) => args.run(),
        Command::Keys(args) => args.run(),
        Command::Backup(args) => args.run(),
        Command::Restore(args) => args.run(),
    }
}

/// Says a sentence to the person at the terminal.
fn say(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::SUCCESS
}

/// Says something beside what a command does.
fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// Says why something did not work.
fn complain(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "paddockd: {text}");
    ExitCode::FAILURE
}
