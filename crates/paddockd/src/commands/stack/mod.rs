//! `paddockd stack`: what apps can be built and run on besides the machine's own `/usr`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use paddock_core::error::chain;
use paddock_ipc::admin::{AdminAnswer, AdminRequest, StackLine};

use self::add::AddArgs;
use super::ask::asked;
use super::progress::megabytes;
use super::table::{minute, table};

mod add;
mod image;
mod layout;

/// Adds stacks to a running server, lists, deprecates and removes them.
///
/// A stack is a root file system that apps are built and run on. Every server has the stack `host`, which is the machine's own
/// /usr. A name of Heroku's that is not here (heroku-24) means `host`, and the app's log says so.
#[derive(Debug, Args)]
pub(crate) struct StackArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    // It says in its own file what it does.
    Add(Box<AddArgs>),
    /// List the stacks: what builds take, how large it is, how many apps are to be built on it
    List {
        /// Data folder of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a stack that no app is to be built on; what runs on it goes on, and can be rolled back to
    Remove {
        /// Name of the stack
        name: String,
        /// Data folder of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Say from which day on nothing is built on a stack: builds warn of it before, what runs goes on after
    Deprecate {
        /// Name of the stack
        name: String,
        /// The day, such as 2027-04-30; it begins in UTC
        #[arg(long, value_name = "DATE", required_unless_present = "never", conflicts_with = "never")]
        on: Option<jiff::civil::Date>,
        /// Take back what was said
        #[arg(long)]
        never: bool,
        /// Data folder of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

impl StackArgs {
    pub(crate) fn run(self) -> ExitCode {
        match self.verb {
            Verb::Add(args) => match args.add() {
                Ok(told) => crate::say(&told),
                Err(error) => crate::complain(&chain(error.as_ref())),
            },
            Verb::List { data, json } => asked(data, &AdminRequest::ListStacks, |answer| match answer {
                AdminAnswer::Stacks { stacks } => {
                    let list = if json { format!("{}\n", serde_json::json!(stacks)) } else { shown(stacks) };
                    // A closed pipe is the reader's choice.
                    let _ = io::stdout().write_all(list.as_bytes());
                    Some(ExitCode::SUCCESS)
                }
                _ => None,
            }),
            Verb::Remove { name, data } => {
                let told =
                    format!("{name} is removed: nothing more is built on it, and what runs on it goes on.");
                done(data, &AdminRequest::RemoveStack { name }, &told)
            }
            Verb::Deprecate { name, on, never: _, data } => deprecate(data, name, on),
        }
    }
}

fn deprecate(data: PathBuf, name: String, on: Option<jiff::civil::Date>) -> ExitCode {
    let told = match on {
        Some(day) => format!("From {day} on (UTC) nothing is built on {name}, and builds say so until then."),
        None => format!("{name} has no end any more."),
    };
    let ends_at =
        on.map(|day| day.to_zoned(jiff::tz::TimeZone::UTC).map(|day| day.timestamp().as_microsecond()));
    match ends_at.transpose() {
        Ok(ends_at) => done(data, &AdminRequest::DeprecateStack { name, ends_at }, &told),
        Err(error) => crate::complain(&format!("this is no day that can be kept: {error}")),
    }
}

fn done(data: PathBuf, request: &AdminRequest, told: &str) -> ExitCode {
    asked(data, request, |answer| matches!(answer, AdminAnswer::Done { .. }).then(|| crate::say(told)))
}

fn shown(stacks: &[StackLine]) -> String {
    let dash = || "-".to_owned();
    let rows: Vec<_> = stacks
        .iter()
        .map(|stack| {
            [
                stack.name.clone(),
                state(stack),
                stack.version.clone().unwrap_or_else(dash),
                stack.system.clone().unwrap_or_else(dash),
                minute(stack.added_at.as_deref()),
                stack.size_bytes.map_or_else(dash, megabytes),
                stack.kept_versions.to_string(),
                stack.apps.to_string(),
            ]
        })
        .collect();
    table(["stack", "state", "version", "system", "added (UTC)", "size", "older kept", "apps"], &rows)
}

/// Such as `deprecated on 2027-04-30`.
fn state(stack: &StackLine) -> String {
    match stack.ends_at.as_deref().and_then(|end| end.get(..10)) {
        Some(day) => format!("{}, ends {day}", stack.state),
        None => stack.state.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_builds_take_and_what_ends_when() {
        let host = StackLine {
            name: "host".to_owned(),
            state: "public".to_owned(),
            ends_at: None,
            version: Some("0a1b2c".to_owned()),
            system: None,
            added_at: None,
            size_bytes: None,
            kept_versions: 0,
            apps: 2,
        };
        let ending = StackLine {
            name: "old".to_owned(),
            state: "deprecated".to_owned(),
            ends_at: Some("2027-04-30T00:00:00Z".to_owned()),
            system: Some("Debian 11".to_owned()),
            added_at: Some("2026-05-04T03:02:01Z".to_owned()),
            size_bytes: Some(123_456_789),
            kept_versions: 1,
            ..host.clone()
        };
        let text = shown(&[host, ending]);
        let lines: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "host public 0a1b2c - - - 0 2");
        assert_eq!(
            lines[2],
            "old deprecated, ends 2027-04-30 0a1b2c Debian 11 2026-05-04 03:02 123.4 MB 1 2"
        );
    }
}
