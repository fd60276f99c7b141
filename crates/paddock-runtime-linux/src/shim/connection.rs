//! One connection to a shim: a request, and what becomes of it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use paddock_ipc::frame;
use rustix::event::PollFlags;
use rustix::process::{Pid, WaitOptions};

use super::enter;
use super::program::Program;
use super::relay::{Relay, Taken};
use super::streams::{self, ShimStreams};
use super::supervise::{Attachable, Supervisor};
use super::{failure, log};
use crate::error::{Doing, StepError};
use crate::protocol::{FromShim, ToShim};

/// Most bytes of a request.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A connection and its role.
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

/// What serving a connection did to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// Nothing.
    Alone,
    /// It took the program over from whoever had it.
    TookOver,
}

impl Connection {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(Role::Asking { socket, received: Vec::new() }))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.0, Role::Over)
    }

    /// What to wait for.
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

    /// Does what can be done without waiting.
    pub(super) fn serve(&mut self, shim: &mut Supervisor<'_>) -> Served {
        match &mut self.0 {
            Role::Asking { .. } => return self.serve_asking(shim),
            Role::Subscriber(socket) => {
                // Subscribers say nothing: whatever is readable is the end.
                if !matches!(socket.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                    self.0 = Role::Over;
                }
            }
            Role::Attached(_) => self.serve_attached(shim),
            Role::Exec(exec) => {
                exec.serve();
                if exec.ended && exec.client.is_none() {
                    self.0 = Role::Over;
                }
            }
            Role::Over => {}
        }
        Served::Alone
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

    /// Gives this client what others left behind.
    pub(super) fn receive_held(&mut self, attachable: Option<&mut Attachable>) {
        if let (Role::Attached(relay), Some(program)) = (&mut self.0, attachable) {
            relay.give(&std::mem::take(&mut program.held));
        }
    }

    fn serve_asking(&mut self, shim: &mut Supervisor<'_>) -> Served {
        let Role::Asking { socket, received } = &mut self.0 else { return Served::Alone };
        let mut buffer = [0; 16 * 1024];
        let whole = loop {
            match frame::decode::<ToShim>(received) {
                Ok(Some(request)) => break Some(request),
                Ok(None) if received.len() <= REQUEST_BYTES_MAX => {}
                _ => break None,
            }
            match socket.read(&mut buffer) {
                Ok(count) if count > 0 => received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Served::Alone,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break None,
            }
        };
        let Role::Asking { socket, received } = std::mem::replace(&mut self.0, Role::Over) else {
            return Served::Alone;
        };
        whole.map_or(Served::Alone, |request| self.carry_out(request, socket, received, shim))
    }

    fn carry_out(
        &mut self,
        request: ToShim,
        socket: UnixStream,
        received: Vec<u8>,
        shim: &mut Supervisor<'_>,
    ) -> Served {
        match request {
            ToShim::Stop { grace_ms } => {
                shim.stop(Duration::from_millis(grace_ms));
                reply(&socket, &FromShim::Done);
            }
            ToShim::HangUp => {
                shim.hang_up();
                reply(&socket, &FromShim::Done);
            }
            ToShim::Ack { seq } => {
                let acked = shim.spooler.as_mut().map_or(Ok(()), |spooler| spooler.ack(seq));
                reply(&socket, &acked.map_or_else(host_failed, |()| FromShim::Done));
            }
            ToShim::Subscribe => {
                // One at once: something may have happened before the subscription.
                self.0 = Role::Subscriber(socket);
                self.wake(shim.exit.is_some());
            }
            ToShim::Attach if shim.attachable.is_none() => {
                reply(
                    &socket,
                    &FromShim::HostFailed { reason: "its output is lines; it has no console".to_owned() },
                );
            }
            ToShim::Attach => {
                reply(&socket, &FromShim::Done);
                match Relay::new(socket, received) {
                    Ok(relay) => self.0 = Role::Attached(relay),
                    Err(error) => log(&format!("attach: {error}")),
                }
                return Served::TookOver;
            }
            ToShim::Exec { command, env, working_dir, stdio } => {
                let made = Program::new(&command, &env, &working_dir)
                    .and_then(|program| Exec::start(&program, stdio, shim));
                match made {
                    Ok((pid, pidfd, streams)) => {
                        reply(&socket, &FromShim::Done);
                        let client = Relay::new(socket, received).ok().map(|relay| (relay, streams));
                        let exec = Exec { client, pid, pidfd, ended: false, output_ended: false };
                        self.0 = Role::Exec(Box::new(exec));
                        return self.serve(shim);
                    }
                    Err(error) => reply(&socket, &failure(&error, &command)),
                }
            }
            ToShim::Quit => {
                let cleaned = shim.clean_up();
                shim.quit = true;
                reply(&socket, &cleaned.map_or_else(host_failed, |()| FromShim::Done));
            }
        }
        Served::Alone
    }

    fn serve_attached(&mut self, shim: &mut Supervisor<'_>) {
        let (Role::Attached(relay), Some(program)) = (&mut self.0, shim.attachable.as_mut()) else { return };
        relay.serve_client(&mut program.streams);
        relay.feed_program(&mut program.streams);
        if !program.output_ended {
            let taken = relay.take_output(&mut program.streams);
            program.output_ended =
                taken == Taken::Ended || (shim.exit.is_some() && taken == Taken::NothingNow);
        }
        relay.deliver();
        if relay.is_over() {
            program.held.extend(relay.take_undelivered());
            self.0 = Role::Over;
        } else if shim.exit.is_some() && program.output_ended && relay.is_delivered() {
            self.0 = Role::Over;
        }
    }
}

impl Exec {
    /// Runs the program; returns its process and our ends of its streams.
    fn start(
        program: &Program,
        stdio: crate::record::StdioRecord,
        shim: &Supervisor<'_>,
    ) -> Result<(Pid, OwnedFd, ShimStreams), StepError> {
        if shim.has_ended() {
            return Err(StepError::Program { reason: "the container has ended".to_owned() });
        }
        let container = shim.container;
        let (theirs, ours) = streams::make(stdio, container.devpts, container.spec)
            .doing(|| "make the standard streams".to_owned())?;
        let pid = enter::exec(container, shim.init.pidfd.as_fd(), program, theirs)?;
        Ok((pid, enter::watch(pid)?, ours))
    }

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

fn host_failed(error: io::Error) -> FromShim {
    FromShim::HostFailed { reason: error.to_string() }
}

/// Answers a request; the answer fits into an empty socket.
fn reply(socket: &UnixStream, message: &FromShim) {
    if let Err(error) = frame::send(socket.as_fd(), message, &[]) {
        log(&format!("answer a request: {error}"));
    }
}
