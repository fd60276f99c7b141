//! One connection to a shim: what it asks for, and the role that it has afterwards.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use paddock_ipc::frame;
use rustix::event::PollFlags;
use rustix::process::{Pid, WaitOptions};

use super::attachable::Attachable;
use super::relay::{Relay, Taken};
use super::streams::ShimStreams;
use crate::protocol::{FromShim, ToShim};

/// Most bytes of a request.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Connection(Role);

#[derive(Debug)]
enum Role {
    /// Its request is not whole yet.
    Asking { socket: UnixStream, received: Vec<u8> },
    /// It gets wake-ups.
    Subscriber(UnixStream),
    /// It is connected to the container's own program.
    Attached(Relay),
    /// It is connected to a further program.
    Exec(Box<Exec>),
    /// Nothing more comes of it.
    Over,
}

/// A further program and its client.
#[derive(Debug)]
struct Exec {
    /// Gone when the client has everything or went away.
    client: Option<(Relay, ShimStreams)>,
    pid: Pid,
    pidfd: OwnedFd,
    ended: bool,
    output_ended: bool,
}

/// A request, with who waits for the answer and what it has sent beyond.
pub(super) struct Asked {
    pub(super) request: ToShim,
    pub(super) socket: UnixStream,
    pub(super) received: Vec<u8>,
}

/// Nothing of the request, whose environment may hold secrets.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(Role::Asking { socket, received: Vec::new() }))
    }

    /// It gets wake-ups from now on.
    pub(super) fn subscribed(socket: UnixStream) -> Self {
        Self(Role::Subscriber(socket))
    }

    /// It has the container's own program from now on, and first what `held` says that nobody got.
    pub(super) fn attached(socket: UnixStream, received: Vec<u8>, held: &mut Vec<u8>) -> io::Result<Self> {
        let mut relay = Relay::new(socket, received)?;
        relay.give(&std::mem::take(held));
        Ok(Self(Role::Attached(relay)))
    }

    /// It has a further program from now on.
    pub(super) fn exec(socket: UnixStream, received: Vec<u8>, started: (Pid, OwnedFd, ShimStreams)) -> Self {
        let (pid, pidfd, streams) = started;
        let client = Relay::new(socket, received).ok().map(|relay| (relay, streams));
        Self(Role::Exec(Box::new(Exec { client, pid, pidfd, ended: false, output_ended: false })))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.0, Role::Over)
    }

    pub(super) fn waits<'a>(
        &'a self,
        attachable: Option<&'a Attachable>,
    ) -> Vec<(BorrowedFd<'a>, PollFlags)> {
        match &self.0 {
            Role::Asking { socket, .. } | Role::Subscriber(socket) => vec![(socket.as_fd(), PollFlags::IN)],
            Role::Attached(relay) => attachable
                .map_or_else(Vec::new, |program| relay_waits(relay, &program.streams, program.output_ended)),
            Role::Exec(exec) => {
                let mut waits = exec
                    .client
                    .as_ref()
                    .map_or_else(Vec::new, |(relay, streams)| relay_waits(relay, streams, exec.output_ended));
                if !exec.ended {
                    waits.push((exec.pidfd.as_fd(), PollFlags::IN));
                }
                waits
            }
            Role::Over => Vec::new(),
        }
    }

    /// Does what can be done without waiting and without others; returns what is asked for, and is over with that.
    pub(super) fn serve(&mut self, attachable: Option<&mut Attachable>, has_ended: bool) -> Option<Asked> {
        match &mut self.0 {
            Role::Asking { .. } => return self.serve_asking(),
            Role::Subscriber(socket) => {
                // Subscribers say nothing: whatever is readable is the end.
                if !matches!(socket.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                    self.0 = Role::Over;
                }
            }
            Role::Attached(_) => self.serve_attached(attachable, has_ended),
            Role::Exec(exec) => {
                exec.serve();
                if exec.ended && exec.client.is_none() {
                    self.0 = Role::Over;
                }
            }
            Role::Over => {}
        }
        None
    }

    /// Sends a wake-up to a subscriber.
    pub(super) fn wake(&mut self, ended: bool) {
        if let Role::Subscriber(socket) = &mut self.0
            && let Ok(message) = frame::encode(&FromShim::Wake { ended })
        {
            // A full socket holds wake-ups already; a broken one is found when it is read.
            let _ = socket.write(&message);
        }
    }

    /// Takes the program away from this client; output it did not get yet goes to the next one.
    pub(super) fn detach(&mut self, attachable: Option<&mut Attachable>) {
        if let (Role::Attached(relay), Some(program)) = (&mut self.0, attachable) {
            program.held.extend(relay.take_undelivered());
            self.0 = Role::Over;
        }
    }

    fn serve_asking(&mut self) -> Option<Asked> {
        let Role::Asking { socket, received } = &mut self.0 else { return None };
        let mut buffer = [0; 16 * 1024];
        let whole = loop {
            match frame::decode::<ToShim>(received) {
                Ok(Some(request)) => break Some(request),
                Ok(None) if received.len() <= REQUEST_BYTES_MAX => {}
                _ => break None,
            }
            match socket.read(&mut buffer) {
                Ok(count) if count > 0 => received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break None,
            }
        };
        let Role::Asking { socket, received } = std::mem::replace(&mut self.0, Role::Over) else {
            return None;
        };
        whole.map(|request| Asked { request, socket, received })
    }

    fn serve_attached(&mut self, attachable: Option<&mut Attachable>, has_ended: bool) {
        let (Role::Attached(relay), Some(program)) = (&mut self.0, attachable) else { return };
        relay.serve_client(&mut program.streams);
        relay.feed_program(&mut program.streams);
        if !program.output_ended {
            let taken = relay.take_output(&mut program.streams);
            program.output_ended = taken == Taken::Ended || (has_ended && taken == Taken::NothingNow);
        }
        relay.deliver();
        if relay.is_over() {
            program.held.extend(relay.take_undelivered());
            self.0 = Role::Over;
        } else if has_ended && program.output_ended && relay.is_delivered() {
            self.0 = Role::Over;
        }
    }
}

impl Exec {
    fn serve(&mut self) {
        if !self.ended {
            // Reaped at once: pid 1 of the container cannot end before.
            self.ended = !matches!(rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG), Ok(None));
        }
        let Some((relay, streams)) = &mut self.client else { return };
        relay.serve_client(streams);
        relay.feed_program(streams);
        if !self.output_ended {
            let taken = relay.take_output(streams);
            self.output_ended = taken == Taken::Ended || (self.ended && taken == Taken::NothingNow);
        }
        relay.deliver();
        if relay.is_over() || (self.ended && self.output_ended && relay.is_delivered()) {
            // Closing our ends hangs up on what still runs.
            self.client = None;
        }
    }
}

/// What a relay and the ends of its program wait for.
fn relay_waits<'a>(
    relay: &'a Relay,
    streams: &'a ShimStreams,
    output_ended: bool,
) -> Vec<(BorrowedFd<'a>, PollFlags)> {
    let interests = relay.interests();
    let mut waits = Vec::new();
    if !interests.socket.is_empty() {
        waits.push((relay.socket(), interests.socket));
    }
    if let Some(output) = streams.output().filter(|_| interests.output && !output_ended) {
        waits.push((output, PollFlags::IN));
    }
    if let Some(input) = streams.input().filter(|_| interests.input) {
        waits.push((input, PollFlags::OUT));
    }
    waits
}
