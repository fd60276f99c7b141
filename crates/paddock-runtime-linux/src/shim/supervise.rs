//! The shim's loop around one container.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::attachable::Attachable;
use super::connection::{Asked, Connection};
use super::disk::Disk;
use super::enter::{self, Container};
use super::init::shell_status;
use super::report::{Report, Reports};
use super::rootfs::Runner;
use super::spooler::Spooler;
use super::streams::ShimStreams;
use super::{REMOVE_DEADLINE, log};
use crate::cgroup;
use crate::error::{Doing, StepError};
use crate::record::{ExitRecord, now};

/// Grace after a container has lived for its time limit.
const TIME_LIMIT_GRACE: Duration = Duration::from_secs(30);

/// Pid 1 of the container.
#[derive(Debug)]
pub(super) struct Init {
    pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// Where it reports the program's end, which is before its own.
    ends: Option<Reports>,
    /// How the program ended.
    program_status: Option<i32>,
}

impl Init {
    pub(super) fn watch(pid: Pid, ends: Reports) -> Result<Self, StepError> {
        Ok(Self { pid, pidfd: enter::watch(pid)?, ends: Some(ends), program_status: None })
    }

    /// Takes its report, which is there or never comes.
    fn take_report(&mut self) {
        let report = self.ends.take().map(|mut ends| ends.next());
        if let Some(Ok(Some(Report::Ended(status)))) = report {
            self.program_status = Some(status);
        }
    }

    /// Kills it and with it everything inside.
    fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits for an end that is near.
    pub(super) fn reap(&self) {
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// The container and everybody who asks about it.
#[derive(Debug)]
pub(super) struct Supervisor<'a> {
    pub(super) container: Container<'a>,
    pub(super) init: Init,
    pub(super) runner: Runner,
    pub(super) exit: Option<ExitRecord>,
    /// Gone at the end: nothing else keeps what the container wrote.
    disk: Option<Disk>,
    pub(super) spooler: Option<Spooler>,
    pub(super) attachable: Option<Attachable>,
    listener: UnixListener,
    connections: Vec<Connection>,
    /// What connections asked for and nobody has carried out yet, with their places in the list.
    asked: VecDeque<(usize, Asked)>,
    kill_at: Option<Instant>,
    stop_at: Option<Instant>,
    /// A stop was asked for, by a client or by the time limit.
    is_stopping: bool,
    was_killed: bool,
    out_of_memory: Option<(OwnedFd, std::fs::File)>,
    memory_ran_out: bool,
    pub(super) quit: bool,
}

/// The owner of a ready descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Listener,
    Stream(usize),
    /// The program, not everything that it started.
    Program,
    Init,
    Memory,
    Connection(usize),
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        container: Container<'a>,
        init: Init,
        runner: Runner,
        disk: Disk,
        spooler: Option<Spooler>,
        streams: Option<ShimStreams>,
    ) -> Result<Self, StepError> {
        let socket = container.folder.socket();
        let _ = std::fs::remove_file(&socket);
        let listener = bind(&socket).doing(|| format!("listen on {}", socket.display()))?;
        let folder = container.cgroups.memory_v1(&container.spec.id);
        let stop_at = container.spec.time_limit_ms.map(|limit| Instant::now() + Duration::from_millis(limit));
        Ok(Self {
            container,
            init,
            runner,
            exit: None,
            disk: Some(disk),
            spooler,
            attachable: streams.map(Attachable::new),
            listener,
            connections: Vec::new(),
            asked: VecDeque::new(),
            kill_at: None,
            stop_at,
            is_stopping: false,
            was_killed: false,
            out_of_memory: folder.and_then(|folder| cgroup::out_of_memory_event(&folder).ok()),
            memory_ran_out: false,
            quit: false,
        })
    }

    /// Waits until something is ready or a time has come.
    pub(super) fn wait(&self) -> io::Result<Vec<Ready>> {
        let mut whose = vec![Ready::Listener];
        let mut waits = vec![PollFd::new(&self.listener, PollFlags::IN)];
        let mut add = |ready: Ready, wait| {
            whose.push(ready);
            waits.push(wait);
        };
        if self.exit.is_none() {
            if let Some(ends) = &self.init.ends {
                add(Ready::Program, PollFd::new(ends, PollFlags::IN));
            }
            add(Ready::Init, PollFd::new(&self.init.pidfd, PollFlags::IN));
            if let Some((event, _)) = self.out_of_memory.as_ref().filter(|_| !self.memory_ran_out) {
                add(Ready::Memory, PollFd::new(event, PollFlags::IN));
            }
        }
        for (index, fd) in self.spooler.iter().flat_map(Spooler::open) {
            add(Ready::Stream(index), PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        for (index, connection) in self.connections.iter().enumerate() {
            for (fd, flags) in connection.waits(self.attachable.as_ref()) {
                add(Ready::Connection(index), PollFd::from_borrowed_fd(fd, flags));
            }
        }
        let timeout = self.next_time().map(|at| at.saturating_duration_since(Instant::now()));
        // Rounded up: waking a moment too early would go round once more for nothing.
        let timeout =
            timeout.map(|left| Timespec::try_from(left + Duration::from_millis(1)).unwrap_or_default());
        match poll(&mut waits, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            other => other?,
        };
        let mut ready: Vec<_> = whose
            .iter()
            .zip(&waits)
            .filter(|(_, wait)| !wait.revents().is_empty())
            .map(|(ready, _)| *ready)
            .collect();
        ready.dedup();
        Ok(ready)
    }

    fn next_time(&self) -> Option<Instant> {
        let running = self.exit.is_none();
        let spooled = self.spooler.as_ref().and_then(Spooler::due);
        let disk = self.disk.as_ref().and_then(Disk::due);
        [self.kill_at.filter(|_| running), self.stop_at.filter(|_| running), spooled, disk]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn serve(&mut self, ready: Ready) {
        match ready {
            Ready::Listener => self.accept(),
            Ready::Stream(index) => {
                let read = self.spooler.as_mut().map(|spooler| spooler.read(index));
                self.spooled(read.transpose().map(|written| written == Some(true)));
            }
            Ready::Memory => self.memory_ran_out = true,
            Ready::Program => self.end_of_program(),
            Ready::Init => self.end(),
            Ready::Connection(index) => self.serve_connection(index),
        }
    }

    /// After an attempt to spool: the log tells of failures, subscribers are woken.
    fn spooled(&mut self, result: io::Result<bool>) {
        match result {
            Ok(false) => {}
            Ok(true) => self.wake(),
            Err(error) => log(&format!("spool output: {error}")),
        }
    }

    /// What time alone brings about.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.exit.is_none() {
            if self.stop_at.is_some_and(|at| now >= at) {
                self.stop(TIME_LIMIT_GRACE);
            }
            if self.kill_at.is_some_and(|at| now >= at) {
                self.kill_at = None;
                self.was_killed = true;
                self.init.kill();
            }
        }
        if self.disk.as_ref().and_then(Disk::due).is_some_and(|at| now >= at) {
            self.look_at_disk(now);
        }
        if self.spooler.as_ref().and_then(Spooler::due).is_some_and(|at| now >= at) {
            let ticked = self.spooler.as_mut().map_or(Ok(false), |spooler| spooler.tick(now));
            self.spooled(ticked);
        }
    }

    /// Tells once that the disk is full. A program that an attached client sees has no log for it.
    fn look_at_disk(&mut self, now: Instant) {
        if let (Some(disk), Some(spooler)) = (&mut self.disk, &mut self.spooler)
            && let Some(line) = disk.look(now)
        {
            let told = spooler.notice(&line);
            self.spooled(told);
        }
    }

    /// SIGTERM to every process now, SIGKILL after the grace. A later call can only shorten it.
    pub(super) fn stop(&mut self, grace: Duration) {
        self.stop_at = None;
        self.is_stopping = true;
        self.end_within(grace);
    }

    fn end_within(&mut self, grace: Duration) {
        if self.exit.is_some() || self.was_killed {
            return;
        }
        let kill_at = Instant::now() + grace;
        if self.kill_at.is_none() {
            self.container.cgroups.tell(&self.container.spec.id, Signal::TERM);
        }
        self.kill_at = Some(self.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
    }

    /// SIGHUP to every process.
    pub(super) fn hang_up(&self) {
        if self.exit.is_none() {
            self.container.cgroups.tell(&self.container.spec.id, Signal::HUP);
        }
    }

    /// Whether the program has ended; what it started may still be there.
    pub(super) fn has_ended(&self) -> bool {
        self.exit.is_some() || self.init.program_status.is_some()
    }

    /// The program has ended. What it leaves behind is asked to end as well; pid 1 ends when all have.
    fn end_of_program(&mut self) {
        self.init.take_report();
        if self.init.program_status.is_some() {
            self.end_within(Duration::from_millis(self.container.spec.leftover_grace_ms));
        }
    }

    /// Pid 1 has ended, and everything inside with it: keeps the program's status once all output is in the spool.
    fn end(&mut self) {
        let waited = rustix::process::waitpid(Some(self.init.pid), WaitOptions::NOHANG);
        let status = match waited {
            Ok(Some((_, status))) => shell_status(status),
            Ok(None) => return,
            // Reaped elsewhere cannot be; without a status it ended all the same.
            Err(_) => 127,
        };
        // Killed with the rest, pid 1 has no status of its own to tell.
        self.init.take_report();
        let status = self.init.program_status.unwrap_or(status);
        if let Some(spooler) = &mut self.spooler
            && let Err(error) = spooler.finish()
        {
            log(&format!("spool the last output: {error}"));
        }
        self.look_at_disk(Instant::now());
        let kills = self.container.cgroups.out_of_memory_kills(&self.container.spec.id);
        let exit = ExitRecord {
            status,
            out_of_memory: self.memory_ran_out || kills > 0,
            killed_after_grace: self.is_stopping && self.was_killed,
            at: now().0,
        };
        if let Err(error) = self.container.folder.write_exit(&exit) {
            log(&format!("write the exit status: {error}"));
        }
        self.exit = Some(exit);
        self.wake();
        for index in 0..self.connections.len() {
            self.serve_connection(index);
        }
        // After everybody knows of the end: it can take a while.
        self.discard_disk();
    }

    fn discard_disk(&mut self) {
        if let Some(disk) = self.disk.take() {
            disk.discard();
        }
    }

    fn accept(&mut self) {
        match self.listener.accept() {
            Ok((socket, _)) => match Connection::new(socket) {
                Ok(connection) => self.connections.push(connection),
                Err(error) => log(&format!("accept a connection: {error}")),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => log(&format!("accept a connection: {error}")),
        }
    }

    /// Has a connection do what it can without the others; what it asks for waits to be carried out.
    pub(super) fn serve_connection(&mut self, index: usize) {
        let has_ended = self.exit.is_some();
        let Some(connection) = self.connections.get_mut(index) else { return };
        let asked = connection.serve(self.attachable.as_mut(), has_ended);
        self.asked.extend(asked.map(|asked| (index, asked)));
    }

    /// What is to be carried out next, and the place of who asked.
    pub(super) fn next_asked(&mut self) -> Option<(usize, Asked)> {
        self.asked.pop_front()
    }

    /// Gives a connection the role that it asked for.
    pub(super) fn set_connection(&mut self, index: usize, connection: Connection) {
        if let Some(place) = self.connections.get_mut(index) {
            *place = connection;
        }
    }

    /// Takes the program from whoever has it; output that they did not get stays for the next.
    pub(super) fn detach_all(&mut self) {
        for connection in &mut self.connections {
            connection.detach(self.attachable.as_mut());
        }
    }

    /// Forgets connections of which nothing more comes.
    pub(super) fn drop_connections(&mut self) {
        self.connections.retain(|connection| !connection.is_over());
    }

    /// Wakes subscribers; one that does not read has wake-ups waiting already.
    fn wake(&mut self) {
        for connection in &mut self.connections {
            connection.wake(self.exit.is_some());
        }
    }

    /// Kills what is left, waits for its end, and removes what the kernel holds.
    pub(super) fn clean_up(&mut self) -> io::Result<()> {
        let name = &self.container.spec.id;
        let until = Instant::now() + REMOVE_DEADLINE;
        self.container.cgroups.kill(name);
        self.init.kill();
        // Zombies of exec'd programs are our children too, and pid 1 cannot end before they are reaped.
        loop {
            let reaped = rustix::process::wait(WaitOptions::NOHANG);
            match reaped {
                Err(rustix::io::Errno::CHILD) if self.container.cgroups.processes(name).is_empty() => break,
                Ok(Some((pid, status))) => self.reaped(pid, status),
                _ if Instant::now() > until => return Err(io::ErrorKind::TimedOut.into()),
                _ => cgroup::wait_a_moment(),
            }
        }
        self.discard_disk();
        self.container.cgroups.remove(&self.container.spec.id, REMOVE_DEADLINE)
    }

    fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        if pid == self.init.pid && self.exit.is_none() {
            log(&format!("removed while running: {}", shell_status(status)));
        }
    }
}

/// Binds a socket whose path may be longer than an address can hold.
fn bind(path: &std::path::Path) -> io::Result<UnixListener> {
    let folder = rustix::fs::open(
        path.parent().unwrap_or(path),
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&folder.as_fd());
    let listener = UnixListener::bind(format!("/proc/self/fd/{number}/shim.sock"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
