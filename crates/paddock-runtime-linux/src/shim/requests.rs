//! What connections ask of a shim, carried out.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use paddock_ipc::frame;
use rustix::process::Pid;

use super::connection::{Asked, Connection};
use super::enter;
use super::program::Program;
use super::rootfs::Runner;
use super::streams::{self, ShimStreams};
use super::supervise::Supervisor;
use super::{failure, log};
use crate::error::{Doing, StepError};
use crate::protocol::{Environment, FromShim, ToShim};
use crate::record::StdioRecord;

/// Does what the connection at a place of the list asked for, and answers it.
pub(super) fn carry_out(shim: &mut Supervisor<'_>, index: usize, asked: Asked) {
    let Asked { request, socket, received } = asked;
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
            let mut connection = Connection::subscribed(socket);
            // One at once: something may have happened before the subscription.
            connection.wake(shim.exit.is_some());
            shim.set_connection(index, connection);
        }
        ToShim::Attach => attach(shim, index, socket, received),
        ToShim::Exec { command, env, working_dir, stdio } => {
            match exec(shim, &command, &env, &working_dir, stdio) {
                Ok(started) => {
                    reply(&socket, &FromShim::Done);
                    shim.set_connection(index, Connection::exec(socket, received, started));
                    shim.serve_connection(index);
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
}

/// Connects a client to the container's own program, in the place of whoever had it.
fn attach(shim: &mut Supervisor<'_>, index: usize, socket: UnixStream, received: Vec<u8>) {
    if shim.attachable.is_none() {
        let reason = "its output is lines; it has no console".to_owned();
        return reply(&socket, &FromShim::HostFailed { reason });
    }
    reply(&socket, &FromShim::Done);
    shim.detach_all();
    let Some(program) = &mut shim.attachable else { return };
    match Connection::attached(socket, received, &mut program.held) {
        Ok(connection) => {
            shim.set_connection(index, connection);
            shim.serve_connection(index);
        }
        Err(error) => log(&format!("attach: {error}")),
    }
}

/// Runs a further program; returns its process and our ends of its streams.
fn exec(
    shim: &Supervisor<'_>,
    command: &[String],
    env: &Environment,
    working_dir: &str,
    stdio: StdioRecord,
) -> Result<(Pid, OwnedFd, ShimStreams), StepError> {
    let Runner { user, home } = &shim.runner;
    let program = Program::new(command, env, working_dir)?.at_home(home.as_deref());
    if shim.has_ended() {
        return Err(StepError::Program { reason: "the container has ended".to_owned() });
    }
    let container = shim.container;
    let (theirs, ours) = streams::make(stdio, container.devpts)
        .and_then(|made| made.0.give_to(*user, container.spec.id_base).map(|()| made))
        .doing(|| "make the standard streams".to_owned())?;
    let pid = enter::exec(container, *user, shim.init.pidfd.as_fd(), &program, theirs)?;
    Ok((pid, enter::watch(pid)?, ours))
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
