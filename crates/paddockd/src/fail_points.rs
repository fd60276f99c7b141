//! Ends the server at a named durable step, as kill -9 would: `PADDOCK_FAIL_POINTS` names the folder of the test that
//! asks for it.
//!
//! * `armed`: one line, `NAME:before` or `NAME:after`, perhaps with `@3` for the third time. It is taken away before the
//!   server dies, so that the next start is an ordinary one.
//! * `reached`: while it exists, a line is added for every point that is passed.
//! * `ahead`: by how many seconds the server's clock is ahead of the machine's, so that no test waits for a day.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use paddock_control::clock::{Clock, SystemClock};
use paddock_core::UnixMicros;
use paddock_core::fail_point::{self, Side};

/// The folder of the test.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();
/// What was armed when last looked, and how often it was reached since.
static COUNTED: Mutex<(String, u32)> = Mutex::new((String::new(), 0));

/// Listens to the points from now on, if a test asks for it.
#[expect(clippy::disallowed_methods, reason = "the server binary is where the environment is read")]
pub(crate) fn arm() {
    if let Some(folder) = std::env::var_os("PADDOCK_FAIL_POINTS")
        && FOLDER.set(folder.into()).is_ok()
    {
        fail_point::on_reached(reached);
    }
}

fn reached(name: &'static str, side: Side) {
    let Some(folder) = FOLDER.get() else { return };
    let point = match side {
        Side::Before => format!("{name}:before"),
        Side::After => format!("{name}:after"),
    };
    if let Ok(mut file) = File::options().append(true).open(folder.join("reached")) {
        // One write: lines of several threads do not mix.
        let _ = file.write_all(format!("{point}\n").as_bytes());
    }
    let Ok(armed) = fs::read_to_string(folder.join("armed")) else { return };
    let armed = armed.trim();
    let (name, time) =
        armed.split_once('@').map_or((armed, 1), |(name, time)| (name, time.parse().unwrap_or(1)));
    if name == point && is_time(armed, time) && fs::rename(folder.join("armed"), folder.join("died")).is_ok()
    {
        die();
    }
}

/// The machine's clock, or ahead of it when the test says so.
pub(crate) struct ServerClock;

impl Clock for ServerClock {
    fn now(&self) -> UnixMicros {
        let ahead = FOLDER.get().and_then(|folder| fs::read_to_string(folder.join("ahead")).ok());
        let seconds = ahead.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or(0);
        SystemClock.now() + Duration::from_secs(seconds)
    }
}

/// Counts this time; whether it is the one that was asked for.
fn is_time(armed: &str, time: u32) -> bool {
    let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    if counted.0 != armed {
        *counted = (armed.to_owned(), 0);
    }
    counted.1 += 1;
    counted.1 == time
}

/// No destructor runs and no buffer is flushed.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}
