//! The last steps of every process inside: give up all privilege, take the filter, become the program.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

use super::not_started;
use super::streams::ProgramStreams;
use crate::error::{Doing, StepError};
use crate::kernel::{self, CloseFrom};
use crate::protocol::Environment;
use crate::record::{RootRecord, SpecRecord, UserRecord};

const HOME: &str = "HOME=";
/// Where programs are looked up without a `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";
/// Open files of a program, where the machine allows so many.
const OPEN_FILES: u64 = 1_048_576;

/// A program with its arguments, ready for execve.
#[derive(Debug, Clone)]
pub(super) struct Program {
    name: Vec<u8>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    search: Vec<Vec<u8>>,
    working_dir: String,
}

impl Program {
    /// Prepares a command.
    pub(super) fn new(command: &[String], env: &Environment, working_dir: &str) -> Result<Self, StepError> {
        let nul = |_| StepError::Program { reason: "an argument or variable holds a zero byte".to_owned() };
        let Some(name) = command.first().filter(|name| !name.is_empty()) else {
            return Err(StepError::Program { reason: "the command is empty".to_owned() });
        };
        let arguments = command.iter().map(|word| CString::new(word.as_bytes()));
        let environment = env.iter().map(|(key, value)| CString::new([key.as_bytes(), b"=", value].concat()));
        let path = env.iter().find(|(key, _)| key == "PATH").map_or(DEFAULT_PATH, |(_, value)| value);
        Ok(Self {
            name: name.clone().into_bytes(),
            arguments: arguments.collect::<Result<_, _>>().map_err(nul)?,
            environment: environment.collect::<Result<_, _>>().map_err(nul)?,
            search: path.split(|byte| *byte == b':').map(<[u8]>::to_vec).collect(),
            working_dir: working_dir.to_owned(),
        })
    }

    /// The home that the environment names.
    pub(super) fn home(&self) -> Option<&str> {
        self.environment.iter().find_map(|variable| variable.to_str().ok()?.strip_prefix(HOME))
    }

    /// The same with this home, if it has none that its environment names.
    pub(super) fn at_home(&self, home: Option<&str>) -> Self {
        let mut program = self.clone();
        if !self.environment.iter().any(|variable| variable.to_bytes().starts_with(HOME.as_bytes())) {
            program.environment.extend(home.and_then(|home| CString::new([HOME, home].concat()).ok()));
        }
        program
    }

    /// Becomes the program; returns only when that failed.
    pub(super) fn run(&self, streams: &ProgramStreams) -> StepError {
        match self.prepare(streams) {
            Ok(()) => self.execute(),
            Err(error) => error,
        }
    }

    fn prepare(&self, streams: &ProgramStreams) -> Result<(), StepError> {
        rustix::process::setsid().doing(|| "start a session".to_owned())?;
        if streams.terminal {
            rustix::process::ioctl_tiocsctty(&streams.input).doing(|| "take the terminal".to_owned())?;
        }
        for (fd, number) in [(&streams.input, 0), (&streams.output, 1), (&streams.errors, 2)] {
            kernel::become_stdio(fd.as_fd(), number).doing(|| format!("set descriptor {number}"))?;
        }
        kernel::close_from(3, CloseFrom::OnExec).doing(|| "close descriptors".to_owned())?;
        std::env::set_current_dir(&self.working_dir).map_err(|error| StepError::Program {
            reason: format!("could not enter the folder {}: {error}", self.working_dir),
        })?;
        limit_resources();
        rustix::process::umask(Mode::from_raw_mode(0o022));
        kernel::reset_signals();
        Ok(())
    }

    /// Tries each folder of the path, as execvp does.
    fn execute(&self) -> StepError {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for candidate in self.candidates() {
            let error = kernel::execve(&candidate, &self.arguments, &self.environment);
            // Going on after "not found"; a file that is there and cannot be run is what the user wants to hear of.
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                failure = error;
                if failure.kind() != io::ErrorKind::PermissionDenied {
                    break;
                }
            }
        }
        StepError::Program { reason: self.why_not(&failure) }
    }

    fn why_not(&self, failure: &io::Error) -> String {
        let candidates = self.candidates();
        let there = candidates.iter().find(|path| rustix::fs::stat(path.as_c_str()).is_ok());
        let head = there.map(|path| head_of(Path::new(OsStr::from_bytes(path.as_bytes()))));
        not_started::why(&String::from_utf8_lossy(&self.name), failure, head.as_deref())
    }

    fn candidates(&self) -> Vec<CString> {
        if self.name.contains(&b'/') {
            return CString::new(self.name.clone()).into_iter().collect();
        }
        let joined = self.search.iter().map(|folder| {
            let folder: &[u8] = if folder.is_empty() { b"." } else { folder };
            CString::new([folder, b"/", &self.name].concat())
        });
        joined.flatten().collect()
    }
}

/// How a file begins, as far as it may be read.
fn head_of(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    if let Ok(file) = File::open(path) {
        // What could be read of it is what is known.
        let _ = file.take(not_started::HEAD_BYTES).read_to_end(&mut head);
    }
    head
}

/// What root inside has where an image's layer is made: files of every owner, other users' ids, their processes and low ports.
/// Nothing that mounts, configures a network, looks into processes, makes devices, or gives a file a capability.
const OF_ROOT_INSIDE: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// The capabilities that a container's programs keep.
pub(super) fn kept_capabilities(spec: &SpecRecord) -> CapabilitySet {
    let is_root_inside = spec.root == RootRecord::Build && spec.user.uid == 0;
    if is_root_inside { OF_ROOT_INSIDE } else { CapabilitySet::empty() }
}

/// Gives up every privilege for good but what is kept: capabilities, groups, ids. What is left is a user that cannot gain
/// anything by executing a program.
pub(super) fn give_up_privilege(user: UserRecord, kept: CapabilitySet) -> Result<(), StepError> {
    for number in 0..64 {
        let Some(capability) = CapabilitySet::from_bits(1 << number) else { break };
        // The kernel refuses the first number that it does not know.
        if !kept.contains(capability)
            && rustix::thread::remove_capability_from_bounding_set(capability).is_err()
        {
            break;
        }
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&[]).doing(|| "drop groups".to_owned())?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).doing(|| "set the group".to_owned())?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).doing(|| "set the user".to_owned())?;
    // Root keeps all of its own over a change to itself.
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).doing(|| "set the capabilities".to_owned())?;
    rustix::thread::set_no_new_privs(true).doing(|| "set no_new_privs".to_owned())?;
    // Changing ids made the process dumpable by the rules of its new user; nothing inside may look into it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .doing(|| "hide the process's memory".to_owned())
}

/// Takes the filter of system calls.
pub(super) fn take_filter(filter: &[libc::sock_filter]) -> Result<(), StepError> {
    kernel::seccomp(filter).doing(|| "install the filter of system calls".to_owned())
}

/// Limits that a program expects of a login: many files, no core dumps. Best effort: a limit above the machine's
/// own is not raised.
fn limit_resources() {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    let files = Rlimit { current: Some(hard), maximum: Some(hard) };
    let _ = rustix::process::setrlimit(Resource::Nofile, files);
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}
