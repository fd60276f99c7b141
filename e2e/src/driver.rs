//! The official CLI without its start: one process that has loaded it carries out calls one after another
//! (`driver/driver.mjs`). The CLI is the published package; what is saved is reading and compiling its modules again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::wait::wait_until;

/// Where a driver listens, for the program `heroku` that stands before the official one (`src/bin/stand-in-heroku.rs`).
pub const SOCKET_VARIABLE: &str = "PADDOCK_CLI_SOCKET";
/// The official program, for what is not for the driver.
pub const PROGRAM_VARIABLE: &str = "PADDOCK_CLI_PROGRAM";

/// A call of the CLI.
#[derive(Debug, Default)]
pub struct Call {
    /// What stands after `heroku`.
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// The folder it is made in.
    pub folder: PathBuf,
    /// What is on its standard input.
    pub input: String,
    /// Whether both streams are one, as after `2>&1`.
    pub merged: bool,
}

impl Call {
    /// Has the driver behind a socket carry it out: status, output, errors.
    ///
    /// # Errors
    /// When the driver is gone or does not answer in time.
    pub fn carry_out(&self, socket: &Path, within: Duration) -> std::io::Result<(i32, String, String)> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(within))?;
        let call = json!({
            "arguments": self.arguments, "environment": self.environment, "folder": self.folder,
            "input": self.input, "merged": self.merged,
        });
        writeln!(stream, "{call}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        let answer: Value = serde_json::from_str(&answer)?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let status = answer["status"].as_i64().and_then(|status| i32::try_from(status).ok()).unwrap_or(1);
        Ok((status, text("stdout"), text("stderr")))
    }
}

/// A process that has loaded the CLI; it ends when this is dropped, and with the test that made it.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    socket: PathBuf,
    /// The driver ends with it.
    owner: Option<UnixStream>,
}

impl Driver {
    /// Where the driver of a home listens.
    pub(crate) fn socket_in(home: &Path) -> PathBuf {
        home.join(".driver.sock")
    }

    /// Starts it with a home's own environment, and waits until it takes calls.
    pub(crate) fn start(mut node: Command, entry: &Path, home: &Path) -> Driver {
        let socket = Driver::socket_in(home);
        let file = |name: &str| {
            let path = home.join(name);
            let file = File::options().create(true).append(true).open(&path).unwrap();
            (path, file)
        };
        let ((out_path, out), (err_path, err)) = (file(".driver.out"), file(".driver.err"));
        node.arg("--no-deprecation").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("driver/driver.mjs"));
        node.arg(&socket).arg(entry).arg(out_path).arg(err_path);
        node.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = node.spawn().unwrap_or_else(|error| panic!("could not start the CLI's driver: {error}"));
        let mut driver = Driver { child, socket, owner: None };
        let mut owner = wait_until("the driver of the official CLI", Duration::from_secs(60), || {
            UnixStream::connect(&driver.socket).ok()
        });
        writeln!(owner, "owner").unwrap();
        driver.owner = Some(owner);
        driver
    }

    /// Carries a call out.
    ///
    /// # Panics
    /// When it does not end in time.
    pub(crate) fn call(&self, call: &Call, within: Duration) -> Outcome {
        let mut shown = Command::new("heroku");
        shown.args(&call.arguments);
        let command = crate::outcome::shown(&shown);
        let (status, stdout, stderr) = call
            .carry_out(&self.socket, within)
            .unwrap_or_else(|error| panic!("{command} was not carried out: {error}"));
        Outcome { command, status, stdout, stderr }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
