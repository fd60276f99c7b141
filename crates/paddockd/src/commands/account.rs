//! `paddockd account`: people who may log in. There is no sign-up and no mail: the operator makes accounts and hands
//! out passwords.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use paddock_ipc::admin::{AccountLine, AdminAnswer, AdminRequest};

use super::ask::asked;
use super::table::{minute, table};

/// Makes accounts on a running server, lists, disables and deletes them, and resets their passwords
#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    #[command(subcommand)]
    verb: Verb,
}

/// An account, and the server that has it.
#[derive(Debug, Args)]
struct Named {
    /// Address of the account
    email: String,
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an account; prints its password, which is shown this once
    Create {
        /// Address to log in with
        email: String,
        /// Full name
        #[arg(long)]
        name: Option<String>,
        /// Data folder of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// List the accounts: apps that they own, tokens, when one was last used
    List {
        /// Data folder of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Give an account a new password; prints it, this once. Its tokens and log sessions end
    ResetPassword(Named),
    /// End every token and log session of an account; its password stays
    Logout(Named),
    /// Let nobody in by an account, and end its tokens; its apps go on
    Disable(Named),
    /// Let people in by an account again that was disabled; they log in anew
    Enable(Named),
    /// Delete an account that owns no apps, with its tokens, keys and collaborations
    Delete(Named),
}

impl AccountArgs {
    pub(crate) fn run(self) -> ExitCode {
        match self.verb {
            Verb::Create { email, name, data } => {
                asked(data, &AdminRequest::CreateAccount { email, name }, |answer| match answer {
                    AdminAnswer::Password { password, .. } => {
                        Some(told_password(password, "Log in with it by"))
                    }
                    _ => None,
                })
            }
            Verb::ResetPassword(Named { email, data }) => {
                asked(data, &AdminRequest::ResetPassword { email }, |answer| match answer {
                    AdminAnswer::Password { password, ended_tokens } => {
                        let ended = tokens(*ended_tokens);
                        Some(told_password(password, &format!("{ended} Log in with the new password by")))
                    }
                    _ => None,
                })
            }
            Verb::List { data, json } => asked(data, &AdminRequest::ListAccounts, |answer| match answer {
                AdminAnswer::Accounts { accounts } => {
                    let list =
                        if json { format!("{}\n", serde_json::json!(accounts)) } else { shown(accounts) };
                    // A closed pipe is the reader's choice.
                    let _ = std::io::stdout().write_all(list.as_bytes());
                    Some(ExitCode::SUCCESS)
                }
                _ => None,
            }),
            Verb::Logout(Named { email, data }) => {
                let request = AdminRequest::LogOutAccount { email: email.clone() };
                done(data, &request, &format!("{email} is logged out everywhere."))
            }
            Verb::Disable(Named { email, data }) => {
                let request = AdminRequest::DisableAccount { email: email.clone() };
                done(data, &request, &format!("{email} is disabled; its apps go on."))
            }
            Verb::Enable(Named { email, data }) => {
                let request = AdminRequest::EnableAccount { email: email.clone() };
                asked(data, &request, |answer| {
                    let is_done = matches!(answer, AdminAnswer::Done { .. });
                    is_done.then(|| crate::say(&format!("{email} is enabled: its password opens it again.")))
                })
            }
            Verb::Delete(Named { email, data }) => {
                let request = AdminRequest::DeleteAccount { email: email.clone() };
                asked(data, &request, |answer| {
                    let is_done = matches!(answer, AdminAnswer::Done { .. });
                    is_done.then(|| crate::say(&format!("{email} is deleted.")))
                })
            }
        }
    }
}

fn done(data: PathBuf, request: &AdminRequest, what: &str) -> ExitCode {
    asked(data, request, |answer| match answer {
        AdminAnswer::Done { ended_tokens } => Some(crate::say(&format!("{what} {}", tokens(*ended_tokens)))),
        _ => None,
    })
}

/// The password alone on standard output, so that a script can take it.
fn told_password(password: &str, hint: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{password}");
    crate::say(&format!("{hint}: heroku login --interactive"))
}

fn tokens(ended: u64) -> String {
    match ended {
        0 => "It had no tokens.".to_owned(),
        1 => "Its token ended.".to_owned(),
        count => format!("Its {count} tokens ended."),
    }
}

fn shown(accounts: &[AccountLine]) -> String {
    let rows: Vec<_> = accounts
        .iter()
        .map(|account| {
            let state = match (account.enabled, account.first) {
                (false, _) => "disabled",
                (true, true) => "operator",
                (true, false) => "enabled",
            };
            [
                account.email.clone(),
                account.name.clone().unwrap_or_else(|| "-".to_owned()),
                state.to_owned(),
                account.apps.to_string(),
                account.tokens.to_string(),
                minute(account.last_login_at.as_deref()),
            ]
        })
        .collect();
    table(["account", "name", "state", "apps", "tokens", "last used (UTC)"], &rows)
}
