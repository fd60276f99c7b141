//! Standard streams of a program: the ends it gets and the ends the shim keeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::fs::{fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::rootfs::terminal_group;
use crate::record::{StdioRecord, UserRecord};

/// The ends that the program gets.
#[derive(Debug)]
pub(super) struct ProgramStreams {
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) errors: OwnedFd,
    /// Whether `input` is a terminal to control the session.
    pub(super) terminal: bool,
}

impl ProgramStreams {
    /// Makes them their user's, who may open them anew by their names: all but `/dev/null`, which is the host's.
    pub(super) fn give_to(&self, user: UserRecord, id_base: u32) -> io::Result<()> {
        let (uid, gid) = user.on_host(id_base);
        for stream in [&self.input, &self.output, &self.errors] {
            let is_pipe = FileType::from_raw_mode(rustix::fs::fstat(stream)?.st_mode) == FileType::Fifo;
            let gid = match (is_pipe, self.terminal) {
                (true, _) => Gid::from_raw(gid),
                (false, true) => terminal_group(id_base),
                (false, false) => continue,
            };
            rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), Some(gid))?;
        }
        Ok(())
    }
}

/// The ends that the shim keeps. Reading and writing them does not block.
#[derive(Debug)]
pub(super) enum ShimStreams {
    /// Two pipes of lines.
    Output {
        output: OwnedFd,
        errors: OwnedFd,
    },
    /// A pipe each way. The input goes when the client has ended it.
    Pipe {
        input: Option<OwnedFd>,
        output: OwnedFd,
    },
    Terminal {
        master: OwnedFd,
    },
}

/// Makes both ends.
pub(super) fn make(stdio: StdioRecord, devpts: BorrowedFd<'_>) -> io::Result<(ProgramStreams, ShimStreams)> {
    let null = || rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    match stdio {
        StdioRecord::Output => {
            let (output, program_output) = pipe_with(PipeFlags::CLOEXEC)?;
            let (errors, program_errors) = pipe_with(PipeFlags::CLOEXEC)?;
            for end in [&output, &errors] {
                unblock(end.as_fd())?;
            }
            let program = ProgramStreams {
                input: null()?,
                output: program_output,
                errors: program_errors,
                terminal: false,
            };
            Ok((program, ShimStreams::Output { output, errors }))
        }
        StdioRecord::Pipe => {
            let (program_input, input) = pipe_with(PipeFlags::CLOEXEC)?;
            let (output, program_output) = pipe_with(PipeFlags::CLOEXEC)?;
            for end in [&output, &input] {
                unblock(end.as_fd())?;
            }
            let errors = program_output.try_clone()?;
            let program =
                ProgramStreams { input: program_input, output: program_output, errors, terminal: false };
            Ok((program, ShimStreams::Pipe { input: Some(input), output }))
        }
        StdioRecord::Terminal { rows, columns } => {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let master = rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())?;
            rustix::pty::unlockpt(&master)?;
            let open = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let slave = rustix::pty::ioctl_tiocgptpeer(&master, open)?;
            resize(master.as_fd(), rows, columns)?;
            unblock(master.as_fd())?;
            let (output, errors) = (slave.try_clone()?, slave.try_clone()?);
            let program = ProgramStreams { input: slave, output, errors, terminal: true };
            Ok((program, ShimStreams::Terminal { master }))
        }
    }
}

/// Tells a terminal its size.
pub(super) fn resize(master: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(master, size)?)
}

fn unblock(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?)
}

/// `/dev/null` of the current root.
pub(super) fn null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}
