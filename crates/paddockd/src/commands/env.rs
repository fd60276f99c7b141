//! `paddockd env`: the variables that point the official CLI and git at this server.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest, ProxyClient};

use crate::paths::Paths;

/// How long a server that is starting is waited for.
const STARTING: Duration = Duration::from_secs(30);

/// What has Heroku's host names built in.
const PLAIN_FORM: &str = "the commands notifications, apps:errors, apps:favorites and dashboard send the token to Heroku's own hosts \
     in this form; with the variables of  paddockd env --proxy  every command stays here";

/// What stands instead of a token.
const NO_TOKEN: &str = "there is no token among these variables, since they are for another machine. Log in there with  heroku login \
     --interactive , or say whose token it is:  --account EMAIL";

/// Prints `export NAME=VALUE` lines for a shell: eval "$(paddockd env --data DIR)"
#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Variables for the proxy form
    #[arg(long)]
    proxy: bool,
    /// Address by which the client reaches the server, which must run with --proxy-form [default: as the server listens]
    #[arg(long, value_name = "ADDRESS", requires = "proxy")]
    address: Option<String>,
    /// Account whose token is printed [default: the first account's on the server's own machine, none for another machine]
    #[arg(long, value_name = "EMAIL")]
    account: Option<String>,
    /// Wait up to half a minute for a server that is about to start
    #[arg(long)]
    wait: bool,
    /// Folder on the client's machine that DIR/ca/proxy-form/*.pem were copied to [default: that folder]
    #[arg(long, value_name = "FOLDER", requires = "proxy")]
    certificates: Option<PathBuf>,
}

impl EnvArgs {
    pub(crate) fn run(self) -> ExitCode {
        let paths = Paths::new(self.data);
        let proxy =
            self.proxy.then_some(ProxyClient { address: self.address, certificates: self.certificates });
        let request = AdminRequest::Environment { proxy, account: self.account };
        match variables(&paths, &request, self.wait) {
            Ok(variables) => {
                if !self.proxy && std::io::stderr().is_terminal() {
                    crate::remark(PLAIN_FORM);
                }
                if !variables.iter().any(|(name, _)| name == "HEROKU_API_KEY") {
                    crate::remark(NO_TOKEN);
                }
                let mut out = std::io::stdout().lock();
                for (name, value) in variables {
                    // A closed pipe is the reader's choice.
                    let _ = writeln!(out, "export {name}={}", shell_quoted(&value));
                }
                ExitCode::SUCCESS
            }
            Err(reason) => crate::complain(&reason),
        }
    }
}

fn variables(paths: &Paths, request: &AdminRequest, waits: bool) -> Result<Vec<(String, String)>, String> {
    let deadline = Instant::now() + STARTING;
    loop {
        match admin::ask(&paths.admin_socket(), request, Duration::from_secs(10)) {
            Ok((AdminAnswer::Environment { variables }, _)) => return Ok(variables),
            Ok((AdminAnswer::Refused { reason }, _)) => return Err(reason),
            Ok((other, _)) => return Err(format!("the server gave an answer that does not fit: {other:?}")),
            Err(error) if Instant::now() >= deadline || !(waits || is_starting(paths)) => {
                return Err(format!(
                    "no server answers for {} ({error}). Start one with: paddockd serve --data {}",
                    paths.data.display(),
                    paths.data.display()
                ));
            }
            Err(_) => wait(),
        }
    }
}

/// Whether a server holds the data folder that does not answer yet.
fn is_starting(paths: &Paths) -> bool {
    let Ok(lock) = std::fs::File::open(paths.serve_lock()) else { return false };
    matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock))
}

/// A pause before asking again: a server that is starting tells nobody.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait on before the socket exists")]
fn wait() {
    std::thread::sleep(Duration::from_millis(50));
}

/// The value in a form that every POSIX shell reads back byte for byte.
fn shell_quoted(value: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"_-./:@,+=%".contains(&c);
    if !value.is_empty() && value.bytes().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_shell() {
        assert_eq!(shell_quoted("http://localhost:5080"), "http://localhost:5080");
        assert_eq!(shell_quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_quoted(""), "''");
    }

    #[test]
    fn a_folder_that_no_server_holds_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().to_owned());
        let began = Instant::now();
        let refusal =
            variables(&paths, &AdminRequest::Environment { proxy: None, account: None }, false).unwrap_err();
        assert!(refusal.contains("Start one with: paddockd serve --data"), "{refusal}");
        assert!(began.elapsed() < STARTING);

        // As one that died left it.
        let lock = std::fs::File::create(paths.serve_lock()).unwrap();
        assert!(!is_starting(&paths));
        lock.lock().unwrap();
        assert!(is_starting(&paths));
    }
}
