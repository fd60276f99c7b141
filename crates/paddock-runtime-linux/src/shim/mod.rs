//! `paddockd shim FOLDER`: the single-threaded parent of one container.
//!
//! It makes the container, owns its standard streams and its exit status, and outlives the control plane, which
//! finds it again by its folder. It lives until it is told to quit, also after the container's end. If it dies,
//! the container's pid 1 dies with it.
#![expect(clippy::disallowed_methods, reason = "a process of its own, which outlives the server")]

mod attachable;
mod connection;
mod disk;
mod enter;
mod init;
mod lines;
mod not_started;
mod own_cgroup;
mod program;
mod relay;
mod report;
mod requests;
mod rootfs;
mod slot;
mod spooler;
mod streams;
mod supervise;

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use paddock_ipc::frame;
use paddock_runtime::Stream;
use rustix::fs::Mode;

use self::disk::Disk;
use self::enter::Container;
use self::program::Program;
use self::slot::{Slot, Wiring};
use self::spooler::Spooler;
use self::streams::ShimStreams;
use self::supervise::{Init, Supervisor};
use crate::cgroup::Cgroups;
use crate::error::{Doing, StepError};
use crate::kernel::{self, CloseFrom, SingleThreaded};
use crate::protocol::{Environment, FromShim, Handover};
use crate::record::{Folder, ProcessRecord, StateRecord, now};

/// The group that all shims of an instance live in.
const SHIMS_GROUP: &str = "shims";
/// How long the kernel may take to let go of an ended container.
const REMOVE_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the shim of the container in `folder`; standard input is the socket of whoever starts it. `main` calls this
/// before anything could start a thread.
pub fn shim_main(folder: &Path) -> ExitCode {
    match run(&Folder(folder.to_owned())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&error.chain());
            ExitCode::FAILURE
        }
    }
}

/// A line in the shim's own log, which is its standard error.
fn log(text: &str) {
    let _ = writeln!(std::io::stderr(), "{} {text}", now().0);
}

fn run(folder: &Folder) -> Result<(), StepError> {
    let proof = SingleThreaded::check().doing(|| "start the shim".to_owned())?;
    // What a careless parent left open would keep its sockets and pipes alive for the life of the container.
    kernel::close_from(3, CloseFrom::Now).doing(|| "close descriptors".to_owned())?;
    let starter = detach()?;
    let spec = folder.spec().doing(|| "read the container's specification".to_owned())?;
    let handover: Option<(Handover, _)> =
        frame::receive(starter.as_fd()).doing(|| "receive the environment".to_owned())?;
    let Some((Handover { env }, _)) = handover else {
        return Err(std::io::ErrorKind::UnexpectedEof).doing(|| "receive the environment".to_owned());
    };
    let cgroups = Cgroups::detect(&spec.instance).doing(|| "find the cgroups".to_owned())?;
    let filter = crate::seccomp::filter();
    let devpts = rootfs::new_devpts(spec.id_base)?;
    let container = Container {
        proof: &proof,
        spec: &spec,
        folder,
        cgroups: &cgroups,
        filter: &filter,
        devpts: devpts.as_fd(),
    };
    let started = start(container, &env);
    // The environment may hold secrets: gone from this process, which lives long.
    drop(env);
    match started {
        Ok(supervisor) => {
            answer(&starter, &FromShim::Done);
            drop(starter);
            serve(supervisor)
        }
        Err(error) => {
            cgroups.kill(&spec.id);
            let removed = cgroups.remove(&spec.id, REMOVE_DEADLINE);
            answer(&starter, &failure(&error, &spec.command));
            removed.doing(|| "remove the cgroup".to_owned())?;
            Err(error)
        }
    }
}

/// Serves the container and whoever asks about it until told to quit.
fn serve(mut shim: Supervisor<'_>) -> Result<(), StepError> {
    while !shim.quit {
        for ready in shim.wait().doing(|| "wait for events".to_owned())? {
            shim.serve(ready);
            while let Some((index, asked)) = shim.next_asked() {
                requests::carry_out(&mut shim, index, asked);
            }
        }
        shim.tick(Instant::now());
        shim.drop_connections();
    }
    Ok(())
}

/// Leaves the parent's session and standard input; returns the latter, which is the starter's socket.
fn detach() -> Result<OwnedFd, StepError> {
    // Fails only for a process that leads a session already.
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let _ = std::env::set_current_dir("/");
    let starter =
        std::io::stdin().as_fd().try_clone_to_owned().doing(|| "take the starter's socket".to_owned())?;
    let null = streams::null().doing(|| "open /dev/null".to_owned())?;
    kernel::become_stdio(null.as_fd(), 0).doing(|| "close standard input".to_owned())?;
    Ok(starter)
}

/// Makes the container and starts its program.
fn start<'a>(container: Container<'a>, env: &Environment) -> Result<Supervisor<'a>, StepError> {
    let Container { proof, spec, folder, cgroups, devpts, .. } = container;
    let shim = ProcessRecord::of(std::process::id().cast_signed())
        .doing(|| "learn the own start time".to_owned())?;
    let started_at = now().0;
    let mut state = StateRecord { shim, init: None, started_at };
    folder.write_state(&state).doing(|| "write the state".to_owned())?;
    cgroups.leave_service(SHIMS_GROUP).doing(|| "leave the service's cgroup".to_owned())?;
    let program = Program::new(&spec.command, env, &spec.working_dir)?;
    cgroups.create(&spec.id, &spec.limits.into()).doing(|| "make the cgroup".to_owned())?;
    let slot = Slot::make(proof, spec.id_base)?;
    let wiring = spec.network.as_ref().map(|network| Wiring::start(network, &slot)).transpose()?;
    // Here and not where the root is built: the container's own cgroup refuses loop devices.
    let disk = Disk::make(spec, folder)?;
    let (program_streams, shim_streams) =
        streams::make(spec.stdio, devpts).doing(|| "make the standard streams".to_owned())?;
    let network_ready = || wiring.map_or(Ok(()), Wiring::wait);
    let (waiting, ends) =
        enter::prepare(container, &slot, &program, program_streams, disk.mount.as_fd(), network_ready)?;
    let init = Init::watch(waiting.init, ends)?;
    state.init =
        Some(ProcessRecord::of(waiting.init.as_raw_nonzero().get()).doing(|| "watch pid 1".to_owned())?);
    state.started_at = now().0;
    folder.write_state(&state).doing(|| "write the state".to_owned())?;
    let runner = waiting.runner.clone();
    let supervisor = match shim_streams {
        ShimStreams::Output { output, errors } => {
            let streams = vec![(Stream::Stdout, output), (Stream::Stderr, errors)];
            let spooler = Spooler::new(folder, streams).doing(|| "open the spool".to_owned())?;
            Supervisor::new(container, init, runner, disk, Some(spooler), None)
        }
        streams => Supervisor::new(container, init, runner, disk, None, Some(streams)),
    }?;
    if let Err(error) = waiting.go() {
        supervisor.init.reap();
        return Err(error);
    }
    Ok(supervisor)
}

/// What a starter or client is told of a failed start.
fn failure(error: &StepError, command: &[String]) -> FromShim {
    match error {
        StepError::Program { reason } => FromShim::ProgramFailed {
            program: command.first().cloned().unwrap_or_default(),
            reason: reason.clone(),
        },
        StepError::Host { .. } => FromShim::HostFailed { reason: error.chain() },
    }
}

/// Tells the starter; one that is gone finds out from the folder.
fn answer(starter: &OwnedFd, message: &FromShim) {
    let _ = frame::send(starter.as_fd(), message, &[]);
}
