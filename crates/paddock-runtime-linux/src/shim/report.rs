//! How the processes on the way into a container tell the shim how far they came: a pipe of small messages that
//! ends when the program was executed. Pid 1 has a second one, for the program's end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use super::rootfs::Runner;
use crate::error::StepError;

#[derive(Debug)]
pub(super) enum Report {
    /// The process that runs inside.
    Pid(i32),
    /// Who runs inside, where an image says it.
    Runner(Runner),
    /// Everything but the program itself is ready.
    Ready,
    Failed(StepError),
    /// The program has ended with this status, and pid 1 waits for the rest.
    Ended(i32),
}

/// The children's end.
#[derive(Debug)]
pub(super) struct Reporter(File);

/// The shim's end.
#[derive(Debug)]
pub(super) struct Reports(File);

/// A new pipe of reports.
pub(super) fn channel() -> io::Result<(Reports, Reporter)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Reports(File::from(read)), Reporter(File::from(write))))
}

impl Reporter {
    /// Sends a message; one that cannot be sent has no reader left.
    pub(super) fn send(&mut self, report: &Report) {
        let (kind, text) = match report {
            Report::Pid(pid) => (b'P', pid.to_string()),
            Report::Runner(runner) => (b'U', serde_json::to_string(runner).unwrap_or_default()),
            Report::Ready => (b'R', String::new()),
            Report::Ended(status) => (b'S', status.to_string()),
            Report::Failed(StepError::Program { reason }) => (b'X', reason.clone()),
            Report::Failed(error) => (b'E', error.chain()),
        };
        let mut bytes = vec![kind];
        bytes.extend(u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(text.into_bytes());
        let _ = self.0.write_all(&bytes);
    }

    /// A second one for the same pipe.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }
}

impl AsFd for Reporter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Reports {
    /// Waits for the next message; `None` when every process that could send one has executed a program or ended.
    pub(super) fn next(&mut self) -> io::Result<Option<Report>> {
        let mut kind = [0];
        if self.0.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(Some(match kind[0] {
            b'P' => Report::Pid(text.parse().map_err(io::Error::other)?),
            b'U' => Report::Runner(serde_json::from_str(&text).map_err(io::Error::other)?),
            b'R' => Report::Ready,
            b'S' => Report::Ended(text.parse().map_err(io::Error::other)?),
            b'X' => Report::Failed(StepError::Program { reason: text }),
            _ => Report::Failed(StepError::Host {
                doing: "enter the container".to_owned(),
                source: io::Error::other(text),
            }),
        }))
    }
}
