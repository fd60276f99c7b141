//! Bytes between an attached client and a program, with pressure passed on both ways and nothing lost in between.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::streams::{self, ShimStreams};
use crate::protocol::InputFrame;

/// Bytes held for a side that does not take them.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// The connection of one client. The program's ends belong to somebody else: they outlive clients.
#[derive(Debug)]
pub(super) struct Relay {
    socket: UnixStream,
    /// Input that is not decoded yet.
    received: Vec<u8>,
    /// Input on its way to the program.
    to_program: Vec<u8>,
    input_ended: bool,
    client_gone: bool,
    /// Output on its way to the client.
    to_client: Vec<u8>,
}

/// What a relay waits for.
pub(super) struct Interests {
    pub(super) socket: PollFlags,
    pub(super) output: bool,
    pub(super) input: bool,
}

impl Relay {
    /// Takes over a connection, with what was received on it already.
    pub(super) fn new(socket: UnixStream, received: Vec<u8>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (to_program, to_client) = (Vec::new(), Vec::new());
        Ok(Self { socket, received, to_program, input_ended: false, client_gone: false, to_client })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What to wait for now. The socket is not waited for at all while it could not be acted upon: a client that
    /// hung up would wake the shim for ever.
    pub(super) fn interests(&self) -> Interests {
        let mut socket = PollFlags::empty();
        if !self.client_gone && self.to_program.len() < HELD_BYTES_MAX {
            socket |= PollFlags::IN;
        }
        if !self.to_client.is_empty() {
            socket |= PollFlags::OUT;
        }
        Interests {
            socket,
            output: self.to_client.len() < HELD_BYTES_MAX,
            input: !self.to_program.is_empty(),
        }
    }

    /// Whether the client is gone and everything it sent was passed on.
    pub(super) fn is_over(&self) -> bool {
        self.client_gone && self.to_program.is_empty()
    }

    /// Whether the client has got everything.
    pub(super) fn is_delivered(&self) -> bool {
        self.client_gone || self.to_client.is_empty()
    }

    /// Moves what can be moved between the client and what is held.
    pub(super) fn serve_client(&mut self, streams: &mut ShimStreams) {
        let mut buffer = [0; 16 * 1024];
        while !self.client_gone && self.to_program.len() < HELD_BYTES_MAX {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.client_gone = true,
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    self.decode(streams);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.client_gone = true,
            }
        }
        self.deliver();
    }

    /// Acts on whole frames that were received.
    pub(super) fn decode(&mut self, streams: &mut ShimStreams) {
        loop {
            match InputFrame::decode(&mut self.received) {
                Ok(Some(InputFrame::Bytes(bytes))) if !self.input_ended => self.to_program.extend(bytes),
                Ok(Some(InputFrame::Resize { rows, columns })) => {
                    if let ShimStreams::Terminal { master } = streams {
                        let _ = streams::resize(master.as_fd(), rows, columns);
                    }
                }
                Ok(Some(InputFrame::End)) => self.input_ended = true,
                Ok(Some(InputFrame::Bytes(_))) => {}
                Ok(None) => break,
                Err(()) => {
                    self.client_gone = true;
                    break;
                }
            }
        }
        self.feed_program(streams);
    }

    /// Writes held input to the program, and closes its pipe after the last of it.
    pub(super) fn feed_program(&mut self, streams: &mut ShimStreams) {
        while !self.to_program.is_empty() {
            let Some(fd) = streams.input() else {
                self.to_program.clear();
                break;
            };
            match rustix::io::write(fd, &self.to_program) {
                Ok(count) => {
                    self.to_program.drain(..count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The program does not read any more.
                Err(_) => self.to_program.clear(),
            }
        }
        if self.input_ended
            && let ShimStreams::Pipe { input, .. } = streams
        {
            *input = None;
        }
    }

    /// Reads the program's output for the client; false when there is no more for now or ever.
    pub(super) fn take_output(&mut self, streams: &mut ShimStreams) -> Taken {
        let mut buffer = [0; 32 * 1024];
        while self.to_client.len() < HELD_BYTES_MAX {
            let Some(fd) = streams.output() else { return Taken::Ended };
            match rustix::io::read(fd, &mut buffer) {
                Ok(0) | Err(Errno::IO) => return Taken::Ended,
                Ok(count) => self.to_client.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.deliver();
                    return Taken::NothingNow;
                }
                Err(_) => return Taken::Ended,
            }
        }
        self.deliver();
        Taken::MoreLater
    }

    /// Output that was taken from the program and not by the client.
    pub(super) fn take_undelivered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_client)
    }

    /// Output for the client from elsewhere, before what the program gives from now on.
    pub(super) fn give(&mut self, bytes: &[u8]) {
        self.to_client.extend_from_slice(bytes);
    }

    /// Sends what is held for the client as far as it takes it.
    pub(super) fn deliver(&mut self) {
        while !self.to_client.is_empty() && !self.client_gone {
            match self.socket.write(&self.to_client) {
                Ok(count) => {
                    self.to_client.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.client_gone = true,
            }
        }
    }
}

/// What became of reading the program's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// There is none now.
    NothingNow,
    /// The client has to take what is held first.
    MoreLater,
    /// Nobody inside holds the other end any more.
    Ended,
}

impl ShimStreams {
    /// Where the program's output is read, if a client reads it.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Output { .. } => None,
            Self::Pipe { output, .. } => Some(output.as_fd()),
            Self::Terminal { master } => Some(master.as_fd()),
        }
    }

    /// Where the program's input is written.
    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Output { .. } => None,
            Self::Pipe { input, .. } => input.as_ref().map(AsFd::as_fd),
            Self::Terminal { master } => Some(master.as_fd()),
        }
    }
}
