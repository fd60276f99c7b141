//! `paddockd account`: people who may log in. There is no sign-up and no mail: the operator makes accounts and hands
//! out passwords.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest};

use crate::paths::Paths;

/// Hashing a password takes its time, and others may be at it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes accounts on a running server and resets their passwords
#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    #[command(subcommand)]
    verb: Verb,
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
    /// Give an account a new password; prints it, this once. Its tokens stay valid
    ResetPassword {
        /// Address of the account
        email: String,
        /// Data folder of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

impl AccountArgs {
    pub(crate) fn run(self) -> ExitCode {
        let (request, data) = match self.verb {
            Verb::Create { email, name, data } => (AdminRequest::CreateAccount { email, name }, data),
            Verb::ResetPassword { email, data } => (AdminRequest::ResetPassword { email }, data),
        };
        let paths = Paths::new(data);
        match admin::ask(&paths.admin_socket(), &request, PATIENCE) {
            Ok((AdminAnswer::Password { password }, _)) => {
                // The password alone on standard output, so that a script can take it.
                let _ = writeln!(std::io::stdout(), "{password}");
                crate::say("Log in with it by: heroku login --interactive")
            }
            Ok((AdminAnswer::Refused { reason }, _)) => crate::complain(&reason),
            Ok((other, _)) => {
                crate::complain(&format!("the server gave an answer that does not fit: {other:?}"))
            }
            Err(error) => crate::complain(&format!(
                "no server answers for {} ({error}). Start one with: paddockd serve --data {}",
                paths.data.display(),
                paths.data.display()
            )),
        }
    }
}
