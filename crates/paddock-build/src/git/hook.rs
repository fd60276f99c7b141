//! The `proc-receive` hook: our own binary, started by `git receive-pack` as the unprivileged git user.
//!
//! It hands the commands of a push to the server over a Unix socket and waits. What the server sends as progress
//! goes to standard error, which git shows as `remote: ` lines; the results go back to git. The hook only watches:
//! when it dies, the server and the build go on.
//!
//! On the socket: one line of JSON ([`HookRequest`]) to the server, then frames back: a byte that says what
//! ([`PROGRESS`] or [`RESULTS`]), a big-endian `u32` length, the bytes.

use std::ffi::OsString;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::proc_receive;
use super::push::{PushResult, RefCommand};

/// The variable that names the server's socket to the hook.
pub const SOCKET_VARIABLE: &str = "PADDOCK_HOOK_SOCKET";
/// The variable that tells the server which push a hook belongs to.
pub const TOKEN_VARIABLE: &str = "PADDOCK_PUSH";
/// The file name of the hook, by which `paddockd` knows that it was started as one.
pub const HOOK_NAME: &str = "proc-receive";

/// A frame with bytes for the pusher.
pub(super) const PROGRESS: u8 = b'p';
/// The last frame: a JSON list of [`PushResult`].
pub(super) const RESULTS: u8 = b'r';
/// The longest frame in bytes.
pub(super) const FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// What the hook asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HookRequest {
    /// The value of [`TOKEN_VARIABLE`].
    pub(super) token: String,
    pub(super) commands: Vec<RefCommand>,
}

/// The hook's program. `environment` looks up a variable of the process, which only `paddockd` reads.
pub fn git_hook_main(environment: impl Fn(&str) -> Option<OsString>) -> ExitCode {
    let (Some(socket), Some(token)) = (environment(SOCKET_VARIABLE), environment(TOKEN_VARIABLE)) else {
        return complain("this hook is only run by paddockd");
    };
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let commands = match proc_receive::read_commands(&mut input, &mut output) {
        Ok(commands) => commands,
        Err(error) => return complain(&format!("could not read the push: {error}")),
    };
    let request = HookRequest { token: token.to_string_lossy().into_owned(), commands };
    let results = UnixStream::connect(&socket)
        .and_then(|server| ask(server, &request, &mut io::stderr().lock()))
        .unwrap_or_else(|error| {
            complain(&format!(
                "The connection to the build was lost ({error}); what was begun goes on: see `heroku builds`"
            ));
            Vec::new()
        });
    match proc_receive::write_results(&mut output, &request.commands, &results) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// One line on standard error, which git passes on to the pusher.
fn complain(text: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), " !     {text}");
    ExitCode::FAILURE
}

/// Sends the request, copies progress to `screen` as it comes and returns the results.
fn ask(
    mut server: UnixStream,
    request: &HookRequest,
    screen: &mut impl Write,
) -> io::Result<Vec<PushResult>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    server.write_all(&line)?;
    loop {
        let mut head = [0; 5];
        server.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "frame is too long"));
        }
        let mut bytes = vec![0; length as usize];
        server.read_exact(&mut bytes)?;
        match kind {
            RESULTS => return Ok(serde_json::from_slice(&bytes)?),
            // A pusher who is gone does not end the conversation.
            PROGRESS => {
                let _ = screen.write_all(&bytes).and_then(|()| screen.flush());
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "unknown frame")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::push::PushVerdict;
    use super::*;

    fn request() -> HookRequest {
        HookRequest { token: "t".into(), commands: Vec::new() }
    }

    fn frame(kind: u8, bytes: &[u8]) -> Vec<u8> {
        [&[kind][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn answered(answer: Vec<u8>) -> (io::Result<Vec<PushResult>>, Vec<u8>) {
        let (client, mut server) = UnixStream::pair().unwrap();
        let serving = thread::spawn(move || {
            server.write_all(&answer).unwrap();
            server.shutdown(std::net::Shutdown::Write).unwrap();
            let mut asked = String::new();
            let _ = server.read_to_string(&mut asked);
        });
        let mut screen = Vec::new();
        let results = ask(client, &request(), &mut screen);
        serving.join().unwrap();
        (results, screen)
    }

    #[test]
    fn progress_is_shown_until_the_results_come() {
        let results = vec![PushResult { name: "refs/heads/main".into(), verdict: PushVerdict::Done }];
        let answer = [
            frame(PROGRESS, b"-----> a\n"),
            frame(PROGRESS, b"b"),
            frame(RESULTS, &serde_json::to_vec(&results).unwrap()),
        ]
        .concat();
        let (got, screen) = answered(answer);
        assert_eq!(got.unwrap(), results);
        assert_eq!(screen, b"-----> a\nb");
    }

    #[test]
    fn a_server_that_goes_away_or_babbles_is_an_error() {
        assert!(answered(frame(PROGRESS, b"half")[..7].to_vec()).0.is_err());
        assert!(answered(frame(b'?', b"x")).0.is_err());
        assert!(answered(vec![PROGRESS, 0xff, 0xff, 0xff, 0xff]).0.is_err());
        assert!(answered(Vec::new()).0.is_err());
    }
}
