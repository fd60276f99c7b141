//! Stands before the official `heroku` on a reader's PATH: hands a call to the driver that has the CLI loaded, and is
//! replaced by the official program for what needs a process of its own.
#![expect(clippy::disallowed_methods, reason = "it stands for a program that reads its environment")]

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use e2e::driver::{Call, PROGRAM_VARIABLE, SOCKET_VARIABLE};

/// Longest that a call may take.
const LONGEST: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if stdin().is_terminal() || goes_on(&arguments) {
        return official(&arguments);
    }
    if let [command, verb] = arguments.as_slice()
        && command == "git:credentials"
        && let (Ok(host), Ok(token)) = (std::env::var("HEROKU_GIT_HOST"), std::env::var("HEROKU_API_KEY"))
    {
        return credentials(verb, &host, &token);
    }
    let socket = PathBuf::from(std::env::var_os(SOCKET_VARIABLE).unwrap_or_default());
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let folder = std::env::current_dir().unwrap_or_default();
    let mut call = Call { arguments, environment, folder, merged: is_one_stream(), ..Call::default() };
    let _ = stdin().read_to_string(&mut call.input);
    match call.carry_out(&socket, LONGEST) {
        Ok((status, out, err)) => {
            let _ = stdout().write_all(out.as_bytes()).and_then(|()| stdout().flush());
            let _ = stderr().write_all(err.as_bytes());
            ExitCode::from(u8::try_from(status).unwrap_or(1))
        }
        Err(_) => official(&call.arguments),
    }
}

/// Whether a command shows its words as they come, or asks questions.
fn goes_on(arguments: &[String]) -> bool {
    let is = |words: &[&str]| arguments.iter().any(|argument| words.contains(&argument.as_str()));
    is(&["--tail", "-t", "login", "auth:login"])
}

fn official(arguments: &[String]) -> ExitCode {
    let program = std::env::var_os(PROGRAM_VARIABLE).unwrap_or_default();
    let error = Command::new(&program).args(arguments).exec();
    let _ = writeln!(stderr(), "{}: {error}", program.to_string_lossy());
    ExitCode::from(127)
}

/// What the CLI answers git. The driver cannot: it may be at a call that runs git.
fn credentials(verb: &str, host: &str, token: &str) -> ExitCode {
    let mut asked = String::new();
    let _ = stdin().read_to_string(&mut asked);
    let is_ours = verb == "get"
        && asked.lines().any(|line| line == "protocol=https")
        && asked.lines().any(|line| line.strip_prefix("host=") == Some(host));
    if is_ours {
        let _ = writeln!(stdout(), "protocol=https\nhost={host}\nusername=heroku\npassword={token}");
    }
    ExitCode::SUCCESS
}

/// Whether output and errors go to the same file or pipe.
fn is_one_stream() -> bool {
    let place =
        |fd: std::os::fd::BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    place(stdout().as_fd()) == place(stderr().as_fd())
}
